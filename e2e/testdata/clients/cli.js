// What a program does with dockermachine-cli-js. Its arguments are a machine, the URL of an engine that
// answers to the store's client, and a new name. Prints one JSON object.
const { DockerMachine, Options } = require("dockermachine-cli-js");

async function main(machine, url, made) {
    const plain = new DockerMachine();
    const out = {};
    await new DockerMachine(new Options({ driver: "none", url })).command(`create ${made}`);
    out.list = (await plain.command("ls ")).machineList;
    out.config = (await plain.command(`config ${made}`)).machine;
    out.config.tlsverify = Boolean(out.config.tlsverify);
    out.inspect = (await plain.command(`inspect ${machine}`)).machine;
    out.env = JSON.parse((await new DockerMachine(new Options({ shell: "sh" })).command(`env ${made}`)).raw);
    out.ip = JSON.parse((await plain.command(`ip ${machine}`)).raw).trim();
    out.url = JSON.parse((await plain.command(`url ${made}`)).raw).trim();
    out.status = JSON.parse((await plain.command(`status ${made}`)).raw).trim();
    await new DockerMachine(new Options({ f: "" })).command(`rm ${made}`);
    out.left = (await plain.command("ls ")).machineList.map((m) => m.name);
    console.error = () => {};
    out.gone = await plain.command(`status ${made}`).then(() => "", (message) => message);
    console.log(JSON.stringify(out));
}

main(...process.argv.slice(2)).catch((err) => {
    console.error(err);
    process.exit(1);
});
