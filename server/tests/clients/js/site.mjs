// OHIF as somebody would serve it: the files of its package, and an app-config.js that names the
// archive. The archive is on another port, so that the browser asks it across origins (CORS).

import { createServer } from 'node:http';
import { readFile } from 'node:fs/promises';
import { extname, join, normalize } from 'node:path';

const TYPES = {
  '.html': 'text/html', '.js': 'text/javascript', '.css': 'text/css', '.json': 'application/json',
  '.wasm': 'application/wasm', '.svg': 'image/svg+xml', '.png': 'image/png', '.ico': 'image/x-icon',
  '.woff2': 'font/woff2', '.woff': 'font/woff',
};

/** What README.md tells users to write. */
export function appConfig(root, extra = {}) {
  return {
    routerBasename: '/',
    extensions: [],
    modes: [],
    customizationService: {},
    showStudyList: true,
    showWarningMessageForCrossOrigin: false,
    showCPUFallbackMessage: false,
    investigationalUseDialog: { option: 'never' },
    defaultDataSourceName: 'cairn',
    dataSources: [
      {
        namespace: '@ohif/extension-default.dataSourcesModule.dicomweb',
        sourceName: 'cairn',
        configuration: {
          friendlyName: 'Cairn',
          name: 'cairn',
          qidoRoot: `${root}/dicom-web`,
          wadoRoot: `${root}/dicom-web`,
          wadoUriRoot: `${root}/wado`,
          qidoSupportsIncludeField: true,
          supportsFuzzyMatching: true,
          supportsWildcard: true,
          imageRendering: 'wadors',
          thumbnailRendering: 'wadors',
          enableStudyLazyLoad: true,
          omitQuotationForMultipartRequest: true,
          bulkDataURI: { enabled: true },
          ...extra,
        },
      },
    ],
  };
}

/** Serves `dist` on a free port of loopback; `config` may be changed at any time. */
export async function serveSite(dist, config) {
  const site = { config };
  const server = createServer(async (request, response) => {
    const path = normalize(decodeURIComponent(new URL(request.url, 'http://x').pathname));
    if (path === '/app-config.js') {
      response.writeHead(200, { 'Content-Type': 'text/javascript' });
      response.end(`window.config = ${JSON.stringify(site.config)};`);
      return;
    }
    const name = extname(path) ? path : '/index.html';
    try {
      const body = await readFile(join(dist, name));
      response.writeHead(200, { 'Content-Type': TYPES[extname(name)] ?? 'application/octet-stream' });
      response.end(body);
    } catch {
      response.writeHead(404).end();
    }
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  site.url = `http://127.0.0.1:${server.address().port}`;
  site.close = () => server.close();
  return site;
}
