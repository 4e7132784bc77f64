// A Node server as proxies are written: it copies the other side's headers and frames the body itself, so that
// Transfer-Encoding stands there twice. `node doubled.js ADDRESS PORT`; prints a JSON object a request.
const http = require('node:http');

const server = http.createServer((request, response) => {
  const began = performance.now();
  let size = 0;
  request.on('data', (piece) => { size += piece.length; });
  request.on('end', () => {
    const status = Number(request.url.split('/')[1]) || 200;
    const told = { port: request.socket.remotePort, method: request.method, path: request.url, status, body: size,
      seconds: (performance.now() - began) / 1000 };
    console.log(JSON.stringify(told));
    if (request.method === 'PUT') {
      response.writeHead(status, { 'Content-Length': 0 });
      response.end();
      return;
    }
    response.statusCode = status;
    response.setHeader('Transfer-Encoding', ['chunked', 'chunked']);
    response.write('hello ');
    response.end('world');
  });
});

server.listen(Number(process.argv[3]), process.argv[2], () => console.log('ready'));
