// dicomweb-client of npm, under node, against a running archive that holds nothing yet: the same services
// as in Python, over a few files, with plain bytes instead of a reader.
//
//   dicomweb.mjs FILES.json     with $CAIRN_URL; a list of { path, file, study, series, sop, frames }

import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { resolve } from 'node:path';

// From where it is installed, which is the folder that we run in.
const require = createRequire(resolve('package.json'));
globalThis.XMLHttpRequest = require('xhr2');
const { api } = require('dicomweb-client');

const url = `${process.env.CAIRN_URL}/dicom-web`;
const client = new api.DICOMwebClient({ url });
const files = JSON.parse(await readFile(process.argv[2], 'utf8'));

const counts = new Map();
let failures = 0;
function hold(condition, what, finding) {
  if (condition) {
    counts.set(what, (counts.get(what) ?? 0) + 1);
  } else {
    console.log(`     - ${what}: ${finding}`);
    failures += 1;
  }
}

const same = (buffer, bytes) => Buffer.compare(Buffer.from(buffer), Buffer.from(bytes)) === 0;
const scope = (file) => ({
  studyInstanceUID: file.study, seriesInstanceUID: file.series, sopInstanceUID: file.sop,
});
const studies = [...new Set(files.map((file) => file.study))];
const inStudy = (study) => files.filter((file) => file.study === study);

async function store() {
  for (const file of files) {
    file.bytes = await readFile(file.file);
    const array = file.bytes.buffer.slice(file.bytes.byteOffset, file.bytes.byteOffset + file.bytes.length);
    const reply = await client.storeInstances({ datasets: [array] });
    hold(reply === undefined || !String(reply).includes('00081198'), 'instances stored', file.path);
  }
}

async function search() {
  const found = await client.searchForStudies({ queryParams: { limit: 101, offset: 0, includefield: '00081030' } });
  hold(found.length === studies.length, 'searches for studies', `${found.length}, not ${studies.length}`);
  for (const study of studies) {
    const wanted = inStudy(study);
    const series = await client.searchForSeries({ studyInstanceUID: study });
    hold(series.length === new Set(wanted.map((file) => file.series)).size, 'searches for series', study);
    const instances = await client.searchForInstances({ studyInstanceUID: study });
    hold(instances.length === wanted.length, 'searches for instances', study);
  }
}

async function retrieve() {
  for (const study of studies) {
    const buffers = await client.retrieveStudy({
      studyInstanceUID: study,
      mediaTypes: [{ mediaType: 'application/dicom', transferSyntaxUID: '*' }],
    });
    hold(buffers.length === inStudy(study).length, 'studies retrieved', study);
  }
  for (const file of files) {
    const buffer = await client.retrieveInstance({
      ...scope(file),
      mediaTypes: [{ mediaType: 'application/dicom', transferSyntaxUID: '*' }],
    });
    hold(!file.as_stored || same(buffer, file.bytes), 'instances retrieved', `${file.path}: other bytes`);
    const [metadata] = await client.retrieveInstanceMetadata(scope(file));
    hold(metadata['00080018'].Value[0] === file.sop, 'metadata', file.path);
    await pixels(file, metadata);
  }
}

async function pixels(file, metadata) {
  const plain = { mediaType: 'application/octet-stream', transferSyntaxUID: '1.2.840.10008.1.2.1' };
  const frames = await client.retrieveInstanceFrames({
    ...scope(file), frameNumbers: [1], mediaTypes: [plain],
  });
  const wanted = file.frame_bytes;
  hold(frames.length === 1 && frames[0].byteLength === wanted, 'frames', `${file.path}: ${frames[0]?.byteLength}, not ${wanted}`);
  const uri = metadata['7FE00010'].BulkDataURI;
  const bulk = await client.retrieveBulkData({ BulkDataURI: uri });
  const length = (bulk[0] ?? bulk).byteLength;
  hold(length > 0, 'bulk data', `${file.path}: nothing`);
  const picture = await client.retrieveInstanceFramesRendered({
    ...scope(file), frameNumbers: [1], mediaTypes: [{ mediaType: 'image/jpeg' }],
  });
  const head = Buffer.from(picture).subarray(0, 2).toString('hex');
  hold(head === 'ffd8', 'rendered frames', `${file.path}: ${head}`);
  const thumbnail = await client.retrieveInstanceFramesThumbnail({ ...scope(file), frameNumbers: [1] });
  hold(thumbnail.byteLength > 0, 'thumbnails', file.path);
}

try {
  await store();
  await search();
  await retrieve();
} catch (error) {
  failures += 1;
  console.log(`     - ${error.stack ?? JSON.stringify(error)} ${error.status ?? ''} ${error.request?.responseURL ?? ''}`);
}
const told = [...counts].map(([what, count]) => `${count} ${what}`).join(', ');
console.log(`${failures ? 'FAIL' : 'ok  '} JS dicomweb-client: ${told}`);
process.exit(failures ? 1 : 0);
