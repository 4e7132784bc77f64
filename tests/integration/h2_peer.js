// The same over plain HTTP/2, with Node: `server PORT` answers a POST to /200, /500 and /503 with that status and three bytes;
// `client PORT` reads lines `CALLS EVERY VARIED`, and answers each with a line of JSON: answers by status. One of EVERY is 500,
// the next one is 503.
const http2 = require("http2");
const lines = require("readline");
const [what, port] = process.argv.slice(2);

if (what === "server") {
  const server = http2.createServer();
  server.on("stream", (stream, headers) => {
    stream.on("data", () => {});
    stream.on("end", () => {
      const answer = { ":status": Number(headers[":path"].slice(1)), "x-served-by": "lab" };
      if (headers["x-call"]) answer["x-call"] = headers["x-call"];
      stream.respond(answer);
      stream.end("yes");
    });
  });
  server.listen(Number(port), "127.0.0.1");
} else {
  const session = http2.connect(`http://127.0.0.1:${port}`);
  let number = 0;
  const ask = (status, varied) =>
    new Promise((resolve) => {
      const headers = { ":method": "POST", ":path": `/${status}`, "content-type": "application/json" };
      if (varied) headers["x-call"] = `call-${number}`;
      const stream = session.request(headers);
      let told = 0;
      stream.on("response", (answer) => { told = answer[":status"]; });
      stream.on("data", () => {});
      stream.on("close", () => resolve(told));
      stream.end('{"a": 1}');
    });
  const work = async (line) => {
    const [calls, every, varied] = line.split(" ").map(Number);
    const counts = {};
    for (let i = 0; i < calls; i++) {
      number++;
      const status = every && number % every === 0 ? 500 : every && number % every === 1 ? 503 : 200;
      const told = await ask(status, varied);
      counts[told] = (counts[told] || 0) + 1;
    }
    console.log(JSON.stringify(counts));
  };
  let last = Promise.resolve();
  lines.createInterface({ input: process.stdin }).on("line", (line) => { last = last.then(() => work(line)); })
    .on("close", () => last.then(() => process.exit(0)));
}
