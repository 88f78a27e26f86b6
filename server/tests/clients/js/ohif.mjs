// OHIF's prebuilt site in headless Chromium against a running archive, which holds studies already.
//
// Study list, a CT series from the list, a multi-frame by its URL; scrolling through both. Checked:
// no request fails, the canvas shows what the archive has (correlation with its own frames, windowed as
// the viewer says), and it changes with every step. Screenshots go to $CAIRN_SCRATCH.
//
//   ohif.mjs CHROMIUM DIST OHIF.json     with $CAIRN_URL; { slices: study UID, cine: study UID }

import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join, resolve } from 'node:path';
import { appConfig, serveSite } from './site.mjs';
import { fetchFrame, likeness, shrink, shrinkFrame } from './pictures.mjs';

// From where it is installed, which is the folder that we run in.
const { chromium } = createRequire(resolve('package.json'))('playwright-core');
const [executablePath, dist, list] = process.argv.slice(2);
const { slices: ctStudy, cine: cineStudy } = JSON.parse(await readFile(list, 'utf8'));
const root = process.env.CAIRN_URL;
const scratch = process.env.CAIRN_SCRATCH;
const PATIENCE = 120_000;
const GRID = 64;
// While it is waited for, a look at some pixels is enough.
const COARSE = 16;
const [CT_STEPS, CINE_STEPS] = [6, 4];
// A viewer interpolates, and draws text and lines over the picture.
const LIKENESS_MIN = 0.9;

let failures = 0;
function hold(condition, what) {
  console.log(`${condition ? 'ok  ' : 'FAIL'} ${what}`);
  if (!condition) failures += 1;
}

/** Everything that the page asks for: failed requests, errors, counts by kind. */
function watch(page) {
  const seen = { failed: [], errors: [], kinds: new Map() };
  page.on('response', (response) => {
    const url = response.url();
    if (url.startsWith(root)) {
      const kind = url.slice(root.length).replace(/\?.*/, '').replace(/[0-9]+(\.[0-9]+)+/g, '_').replace(/frames\/[\d,]+/, 'frames/_');
      seen.kinds.set(kind, (seen.kinds.get(kind) ?? 0) + 1);
    }
    if (response.status() >= 400) seen.failed.push(`${response.status()} ${url}`);
  });
  page.on('requestfailed', (request) => {
    const why = request.failure()?.errorText;
    if (why !== 'net::ERR_ABORTED' && request.url().startsWith(root)) seen.failed.push(`${why} ${request.url()}`);
  });
  page.on('pageerror', (error) => seen.errors.push(String(error)));
  return seen;
}

/** What the first viewport shows: its image, its window, and its canvas in grey: every `step`th pixel of
 * every `step`th line, one character each on the way here. */
async function shown(page, step) {
  const picture = await page.evaluate((step) => {
    const viewport = window.cornerstone?.getRenderingEngines?.()?.[0]?.getViewports?.()?.[0];
    const imageId = viewport?.getCurrentImageId?.();
    const canvas = viewport?.getCanvas?.();
    if (!imageId || !canvas) return null;
    const rgba = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
    const [width, height] = [canvas.width, canvas.height].map((size) => Math.floor(size / step));
    const lines = [];
    for (let y = 0; y < height; y += 1) {
      const line = new Uint8Array(width);
      for (let x = 0; x < width; x += 1) {
        const place = 4 * step * (y * canvas.width + x);
        line[x] = 0.299 * rgba[place] + 0.587 * rgba[place + 1] + 0.114 * rgba[place + 2];
      }
      lines.push(String.fromCharCode(...line));
    }
    return { imageId, width, height, text: lines.join(''), window: viewport.getProperties?.()?.voiRange };
  }, step);
  return picture && { ...picture, grey: Buffer.from(picture.text, 'latin1') };
}

/** Waits until the canvas shows something other than `before`. */
async function drawn(page, before) {
  const deadline = Date.now() + PATIENCE;
  while (Date.now() < deadline) {
    const now = await shown(page, COARSE);
    const uniform = !now || new Set(now.grey).size < 8;
    if (!uniform && now.imageId !== before?.imageId) {
      await page.waitForTimeout(500);
      return shown(page, 1);
    }
    await page.waitForTimeout(250);
  }
  return null;
}

/** How much the canvas looks like the frame that the viewer says it shows. */
async function truth(picture, items) {
  const [, sop, frame] = picture.imageId.match(/instances\/([0-9.]+)\/frames\/(\d+)/);
  const item = items.find((each) => each['00080018'].Value[0] === sop);
  const pixels = await fetchFrame(root, item, Number(frame), picture.window);
  const drawn_ = shrink(picture, pixels.columns, pixels.rows, GRID);
  return likeness(drawn_, shrinkFrame(pixels, GRID));
}

async function metadata(study) {
  const response = await fetch(`${root}/dicom-web/studies/${study}/metadata`);
  return response.json();
}

async function scroll(page, steps, picture, items, what) {
  const places = new Set([picture.imageId]);
  const canvas = page.locator('.viewport-element canvas, canvas.cornerstone-canvas').first();
  await canvas.hover();
  let least = await truth(picture, items);
  for (let step = 0; step < steps; step += 1) {
    await page.mouse.wheel(0, 100);
    const next = await drawn(page, picture);
    if (!next) break;
    places.add(next.imageId);
    least = Math.min(least, await truth(next, items));
    picture = next;
  }
  hold(places.size === steps + 1, `${what}: ${places.size - 1} of ${steps} steps of the wheel show another picture`);
  hold(least >= LIKENESS_MIN, `${what}: pictures are the archive's frames (correlation at least ${least.toFixed(3)})`);
}

async function studyList(page, site) {
  await page.goto(site.url, { waitUntil: 'domcontentloaded', timeout: PATIENCE });
  await page.waitForSelector('[data-cy="study-list-results"], table tbody tr', { timeout: PATIENCE });
  await page.waitForTimeout(2000);
  const response = await fetch(`${root}/dicom-web/studies?limit=101&offset=0`);
  const studies = await response.json();
  const text = await page.locator('[data-cy="num-studies"]').first().innerText();
  hold(text.startsWith(String(studies.length)), `study list: says ${text}, and there are ${studies.length}`);
  await page.screenshot({ path: join(scratch, 'ohif-studies.png') });
}

async function open(page, address, study, what, name, steps) {
  const items = await metadata(study);
  await address();
  const first = await drawn(page, null);
  hold(first, `${what}: is drawn`);
  if (!first) {
    await page.screenshot({ path: join(scratch, `${name}-failed.png`) });
    return;
  }
  await page.screenshot({ path: join(scratch, `${name}.png`) });
  await scroll(page, steps, first, items, what);
  await page.screenshot({ path: join(scratch, `${name}-scrolled.png`) });
}

/** The way of a user: the row of the patient, and the button of the basic viewer. */
async function fromList(page, study) {
  const [found] = await (await fetch(`${root}/dicom-web/studies?StudyInstanceUID=${study}`)).json();
  const patient = found['00100020'].Value[0];
  const row = page.locator('[data-cy="study-list-results"] tr, table tbody tr').filter({ hasText: patient }).first();
  await row.click();
  const button = page.locator('[data-cy="mode-basic-test"], [data-cy^="mode-viewer"], button:has-text("Basic Viewer")').first();
  await button.click({ timeout: PATIENCE });
}

async function main() {
  const site = await serveSite(dist, appConfig(root));
  const browser = await chromium.launch({
    executablePath,
    args: ['--no-sandbox', '--use-gl=angle', '--use-angle=swiftshader', '--enable-unsafe-swiftshader'],
  });
  try {
    const context = await browser.newContext({ viewport: { width: 1280, height: 800 } });
    // The page may ask the archive and its own site only.
    await context.route(
      (url) => !url.href.startsWith(root) && !url.href.startsWith(site.url) && url.protocol.startsWith('http'),
      (route) => route.fulfill({ status: 204, body: '' })
    );
    // Who has seen the tour is not shown it again.
    await context.addInitScript(() => localStorage.setItem('shownTours', '["basicViewerTour"]'));
    const page = await context.newPage();
    const seen = watch(page);
    await studyList(page, site);
    await open(page, () => fromList(page, ctStudy), ctStudy, 'CT series', 'ohif-ct', CT_STEPS);
    const cine = `${site.url}/viewer?StudyInstanceUIDs=${cineStudy}`;
    await open(page, () => page.goto(cine, { waitUntil: 'domcontentloaded', timeout: PATIENCE }), cineStudy, 'multi-frame', 'ohif-cine', CINE_STEPS);
    hold(seen.failed.length === 0, `no failed request: ${seen.failed.slice(0, 5).join('; ') || 'none'}`);
    for (const [kind, count] of seen.kinds) console.log(`       ${count} x ${kind}`);
    for (const error of seen.errors.slice(0, 5)) console.log(`       error in the page: ${error.slice(0, 200)}`);
  } finally {
    await browser.close();
    site.close();
  }
}

main().then(() => process.exit(failures ? 1 : 0), (error) => {
  console.log(`FAIL OHIF: ${error.stack}`);
  process.exit(1);
});
