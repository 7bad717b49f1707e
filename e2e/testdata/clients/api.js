// What a program does with the package docker-machine. Its arguments are a machine, the URL of an engine that
// answers to the store's client, and a new name. Prints one JSON object.
const { promisify } = require("util");
const Machine = require("docker-machine");
const call = (method, ...args) => promisify(Machine[method])(...args);
const fails = (method, ...args) => call(method, ...args).then(() => "", String);

async function main(machine, url, made) {
    const out = {};
    await call("create", made, "none", { url });
    out.list = await call("list", { inspect: true, timeout: 60 });
    out.env = await call("env", machine, { parse: true });
    out.hostname = (await call("ssh", machine, "hostname")).trim();
    await call("start", machine); // it runs already, which is no error
    await call("stop", machine);
    out.stopped = await call("status", machine);
    await call("stop", machine);
    await call("start", machine);
    out.started = await call("isRunning", machine);
    out.kill = await fails("kill", made);
    out.inspect = await call("inspect", made);
    out.absent = await fails("start", "nobody");
    console.log(JSON.stringify(out));
}

main(...process.argv.slice(2)).catch((err) => {
    console.error(err);
    process.exit(1);
});
