package lifecycle

import (
	"context"
	"errors"
	"os"
	"slices"

	"github.com/hostsmith/machine/certs"
	"github.com/hostsmith/machine/cmd/internal/agefile"
	"github.com/hostsmith/machine/cmd/internal/bundle"
	"github.com/hostsmith/machine/cmd/internal/cluster"
	"github.com/hostsmith/machine/cmd/internal/managerkey"
	"github.com/hostsmith/machine/cmd/internal/swarmfile"
	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/cloudimage"
	"github.com/hostsmith/machine/drivers/plugin"
	"github.com/hostsmith/machine/provision"
	"github.com/hostsmith/machine/provision/ssh"
	"github.com/hostsmith/machine/store"
	"github.com/hostsmith/machine/swarmboot"
)

// Reason is a stable name for a kind of failure.
type Reason struct {
	ID      string // such as SSH_AUTH_REFUSED
	Meaning string // a sentence
	Fix     string // what to do, a sentence or a command
	Exit    int    // exit code
}

// Exit codes.
const (
	ExitFailure     = 1
	ExitUsage       = 2
	ExitCheck       = 3
	ExitLocked      = 4
	ExitInterrupted = 130
)

// lacks is the reason of a check that does not find something. There is no host yet that could be gone.
const lacks = "PROVIDER_LACKS"

// row ties a reason to the errors that it names.
type row struct {
	errs []error
	Reason
}

func is(errs ...error) []error { return errs }

// reasons is the table behind exit codes, hints and the troubleshooting page. The first row that
// fits an error is its reason, so a cause stands before what merely passes it on.
func reasons() []row {
	return []row{
		{is(store.ErrLockLost), Reason{"LOCK_LOST", "Nothing was heard of the command for longer than its lease on a shared store, so that others may have gone on. It wrote nothing any more.", "machine ls tells what there is; then run the same command again, which goes on from what is recorded.", ExitFailure}},
		{is(context.Canceled), Reason{"INTERRUPTED", "The command was interrupted. What it had recorded is kept.", "Run the same command again to continue, or machine rm NAME to remove what there is.", ExitInterrupted}},
		{is(store.ErrLocked), Reason{"MACHINE_LOCKED", "Another command is at work on this machine.", "Wait for it to end, or end it; a lock never outlives its process, or in a shared store only for the time of its lease.", ExitLocked}},
		{is(store.ErrName), Reason{"NAME_INVALID", "The name cannot be a machine's or a swarm's name.", "Use letters, digits, dots and dashes, beginning with a letter or digit, 63 characters at most.", ExitUsage}},
		{is(store.ErrNotExist), Reason{"MACHINE_UNKNOWN", "There is no machine of this name in the store.", "machine ls", ExitFailure}},
		{is(store.ErrExist), Reason{"MACHINE_EXISTS", "A machine of this name exists.", "Choose another name, or machine rm NAME first.", ExitFailure}},
		{is(ErrSpec), Reason{"MACHINE_DIFFERS", "An unfinished machine of this name was asked for with other options.", "Repeat the first create command to continue it, or machine rm NAME.", ExitFailure}},
		{is(store.ErrFuture), Reason{"RECORD_FROM_FUTURE", "The record was written by a newer version of machine.", "Use that version or a later one.", ExitFailure}},
		{is(store.ErrCorrupt), Reason{"RECORD_CORRUPT", "The machine's record cannot be read.", "Restore config.json from a backup. Without one, machine rm --force NAME removes the record only, and machine gc -d DRIVER finds what its provider holds by its tag.", ExitFailure}},
		{is(store.ErrNoBackup), Reason{"NO_BACKUP", "There is no record of docker-machine to go back to: the machine was made by this program, or its backup was removed.", "Go on with this program; the machine's host, keys and certificates are as they were.", ExitFailure}},
		{is(ErrDue), Reason{"MIGRATION_DUE", "Records of docker-machine are read as they are; the check found some that the program would write anew.", "machine migrate writes all of them; nothing has to be done.", ExitFailure}},
		{is(store.ErrSealed), Reason{"STORE_SEALED", "A secret of the shared store is encrypted for others, or your age identity is not where it is looked for.", "Give your identity with --age-identity; if you never had access, somebody of the team runs machine store recipients add YOUR_PUBLIC_KEY.", ExitFailure}},
		{is(store.ErrNoRecipients), Reason{"STORE_NO_RECIPIENTS", "The shared store does not know whom to encrypt secrets for.", "machine store recipients add makes you the first.", ExitFailure}},
		{is(store.ErrRecipient), Reason{"STORE_RECIPIENT", "What should be the public key of somebody who can read the shared store's secrets is none.", "Give age1... of age-keygen, or the line of an SSH public key; never a secret key.", ExitUsage}},
		{is(store.ErrRefused), Reason{"STORE_REFUSED", "etcd does not let the user in.", "Check MACHINE_ETCD_USER, the password and the client certificate, and what the user's role permits.", ExitFailure}},
		{is(store.ErrLocation), Reason{"STORE_LOCATION", "What --storage-path says cannot be, or is not safe as, the location of a shared store.", "Write it as etcd://HOST[:PORT][,HOST...]/PREFIX, or etcds:// for TLS.", ExitUsage}},
		{is(store.ErrUnreachable), Reason{"STORE_UNREACHABLE", "The shared store does not answer. A write that was under way was done as a whole or not at all.", "etcdctl endpoint health tells how etcd is; run the same command again when it answers.", ExitFailure}},
		{is(ErrNotShared), Reason{"STORE_NOT_SHARED", "Only a shared store has recipients: the files of this one are readable for your user alone.", "Name a shared store with --storage-path etcd://HOST/PREFIX.", ExitUsage}},
		{is(ErrElsewhere), Reason{"MACHINE_ELSEWHERE", "The machine of a shared store lives on the computer of the one who made it, such as a virtual machine or a container there.", "Work on it there; if that computer is gone for good, machine rm --force NAME removes the record.", ExitFailure}},
		{is(store.ErrDiffers), Reason{"STORE_DIFFERS", "The store to copy to is not empty and has other things than the one to copy from. Nothing was changed.", "Copy to an empty store; machine store copy --dry-run tells what differs.", ExitFailure}},
		{is(store.ErrStays), Reason{"STORE_COPY_STAYS", "A machine keeps more than records in its folder, such as the disk of a virtual machine of this computer, which no other store can use.", "Leave such machines where they are with --skip-local.", ExitFailure}},
		{is(store.ErrReadOnly), Reason{"STORE_READ_ONLY", "The store cannot be written.", "Make the store's folder writable, or choose another with --storage-path.", ExitFailure}},
		{is(store.ErrFull, cloudimage.ErrFull), Reason{"STORE_FULL", "No space is left for the store. All records are as they were.", "Free space on the store's file system and run the same command again.", ExitFailure}},
		{is(ErrDriverless), Reason{"DRIVER_MISSING", "The machine was made with a driver that this program neither has nor finds on PATH.", "Put its plugin docker-machine-driver-NAME on PATH. What needs no provider, such as env, ssh, provision and upgrade, works without it; machine rm --force NAME removes the record and tells what stays at the provider.", ExitFailure}},
		{is(plugin.ErrStart), Reason{"PLUGIN_NOT_STARTED", "The program of a driver plugin cannot be run.", "Run it by hand: it should say that it is a plugin, and is to be one for this operating system and processor.", ExitFailure}},
		{is(plugin.ErrCrashed), Reason{"PLUGIN_CRASHED", "A driver plugin ended before it was told to.", "machine --debug shows all that it said. What it had recorded is kept: run the same command again, or machine rm NAME.", ExitFailure}},
		{is(plugin.ErrSilent), Reason{"PLUGIN_SILENT", "A driver plugin was started and does not say where it listens, or does not answer there.", "Try another version of the program.", ExitFailure}},
		{is(plugin.ErrGarbage), Reason{"PLUGIN_GARBAGE", "The program is no driver plugin, or prints something else before the address that it listens at.", "The program should be one built with docker-machine's plugin library; try another version of it.", ExitFailure}},
		{is(plugin.ErrVersion), Reason{"PLUGIN_VERSION", "A driver plugin speaks a version of the protocol other than 1.", "Use a version of the plugin for docker-machine 0.10 to 0.16, or for rancher-machine.", ExitFailure}},
		{is(plugin.ErrHeartbeat), Reason{"PLUGIN_NO_HEARTBEAT", "A driver plugin does not answer the question whether it is alive. It was ended.", "Run the same command again, with --debug to see what the plugin was at.", ExitFailure}},
		{is(plugin.ErrHostState), Reason{"PLUGIN_HOST_STATE", "The same create again finds a host that its plugin says is neither running nor stopped. It is left as it is.", "Look at the host at its provider: the same command goes on once it runs or is stopped, and machine rm NAME releases it.", ExitFailure}},
		{is(plugin.ErrHung), Reason{"PLUGIN_HUNG", "A driver plugin does not come back from a call. It was ended.", "Check that its provider can be reached; run the same command again, with --debug to see what the plugin was at.", ExitFailure}},
		{is(drivers.ErrUnknown), Reason{"DRIVER_UNKNOWN", "There is no driver of this name, and no program docker-machine-driver-NAME on PATH.", "machine create --help lists the drivers. A plugin has to be executable and in a folder of PATH: machine plugin list shows those that are found.", ExitUsage}},
		{is(drivers.ErrOption), Reason{"DRIVER_OPTION", "An option of the driver is unknown, missing or has a bad value.", "machine create -d DRIVER --help lists the options.", ExitUsage}},
		{is(drivers.ErrCredentials), Reason{"PROVIDER_CREDENTIALS", "The provider refused the credentials.", "Check the driver's credentials. Where machine keeps those of a machine, in machines/NAME/secrets.json of the store, machine credentials NAME puts new ones in their place or, with --forget, takes them away.", ExitFailure}},
		{is(drivers.ErrPermission), Reason{"PROVIDER_PERMISSION", "The provider knows the credentials and does not permit an action to them.", "Have the action that the message names permitted; the driver's page in docs/drivers has all that is needed.", ExitFailure}},
		{is(drivers.ErrQuota), Reason{"PROVIDER_QUOTA", "A quota of the provider is exhausted.", "Free something there, or have the quota raised.", ExitFailure}},
		{is(drivers.ErrCapacity), Reason{"PROVIDER_CAPACITY", "The provider has none left of what was asked for, at that place and time.", "Choose another zone, region or size, or run the same command again later.", ExitFailure}},
		{is(drivers.ErrThrottled), Reason{"PROVIDER_THROTTLED", "The provider refuses more requests for now, after all waiting.", "Run the same command again in some minutes, or for fewer machines at once.", ExitFailure}},
		{is(drivers.ErrInUse), Reason{"PROVIDER_IN_USE", "Something that machine did not make still uses what is to be removed.", "Take away what the message names, then run the same command again.", ExitFailure}},
		{is(drivers.ErrConflict), Reason{"PROVIDER_CONFLICT", "Something that machine did not make has the name or the place that is needed.", "Choose another machine name, or remove what is in the way yourself.", ExitFailure}},
		{is(drivers.ErrUnreachable), Reason{"PROVIDER_UNREACHABLE", "The provider cannot be reached.", "Check that the provider's service runs and that its address is right.", ExitFailure}},
		{is(cloudimage.ErrChecksum), Reason{"IMAGE_CHECKSUM", "An image is not what its publisher, or the checksum that was given, says. It was deleted.", "Compare the checksum with the publisher's, and try again later.", ExitFailure}},
		{is(cloudimage.ErrFormat), Reason{"IMAGE_UNUSABLE", "What came is no disk image, or one that needs other files.", "Check that the URL or path is that of a disk image, not of a page about it.", ExitFailure}},
		{is(cloudimage.ErrFetch), Reason{"IMAGE_UNREACHABLE", "An image, or its publisher's checksums, cannot be fetched. What came of it is kept, and the same command goes on from there.", "Check the network and HTTPS_PROXY; machine image pull fetches an image ahead.", ExitFailure}},
		{is(ErrNoImage), Reason{"IMAGE_UNKNOWN", "The cache has no image of this name.", "machine image ls", ExitFailure}},
		{is(cloudimage.ErrTaken), Reason{"IMAGE_EXISTS", "There is an image of this name.", "Choose another name, or machine image rm NAME first.", ExitFailure}},
		{is(ErrImageUsed), Reason{"IMAGE_IN_USE", "Disks of machines are based on the image.", "machine rm these machines first.", ExitFailure}},
		{is(drivers.ErrNotFound), Reason{lacks, "The provider has nothing of a name or id that an option of create gives, or shows it to others only.", "Correct the option that names it, or make it at the provider first.", ExitCheck}},
		{is(drivers.ErrNotFound), Reason{"HOST_GONE", "The host does not exist at the provider.", "If its create did not finish, the same create command makes it again; otherwise machine rm NAME removes the record.", ExitFailure}},
		{is(ErrCheck), Reason{"CHECK_FAILED", "The driver's check says that create would fail. Nothing was made.", "Mend what the message names.", ExitCheck}},
		{is(ssh.ErrKeyFile, drivers.ErrKeyFile), Reason{"SSH_KEY_UNUSABLE", "The SSH private key cannot be used.", "Check the file; load a key with a passphrase into the agent with ssh-add.", ExitFailure}},
		{is(ssh.ErrJump), Reason{"SSH_JUMP_FAILED", "The jump host cannot be used.", "Try: ssh JUMP_HOST true", ExitFailure}},
		{is(ssh.ErrAuth), Reason{"SSH_AUTH_REFUSED", "The host refused the login.", "Check the user and that the public key is in its authorized_keys.", ExitFailure}},
		{is(ssh.ErrHostKey), Reason{"SSH_HOST_KEY_CHANGED", "The host presents another SSH host key than before: it was reinstalled, or someone is in between.", "Compare the fingerprints over another way; if the change is meant, remove the line from the known_hosts file that the message names.", ExitFailure}},
		{is(ssh.ErrUnknownKey), Reason{"SSH_HOST_KEY_UNKNOWN", "The host's SSH key is not known and this command may not pin it.", "machine provision NAME pins it on first contact.", ExitFailure}},
		{is(ssh.ErrLost), Reason{"SSH_LOST", "The SSH connection broke while a command ran.", "Run the same command again to continue.", ExitFailure}},
		{is(ssh.ErrNotReady), Reason{"SSH_NOT_READY", "The host did not answer over SSH in time.", "Check address, port, firewall and that sshd runs there.", ExitFailure}},
		{is(provision.ErrNoRoot), Reason{"HOST_NO_ROOT", "The login user has no root rights on the host.", "Log in as root, or allow the user sudo without a password: USER ALL=(ALL) NOPASSWD: ALL in /etc/sudoers.d/USER", ExitFailure}},
		{is(ErrNoLabels), Reason{"LABELS_UNSUPPORTED", "The driver cannot change the labels of a host that exists.", "Give labels to create; GitLab Runner goes on without heartbeat labels.", ExitFailure}},
		{is(provision.ErrUnsupportedOS), Reason{"HOST_OS_UNSUPPORTED", "Docker Engine cannot be installed on this distribution.", "Install an Engine there yourself and run the same command again with --engine-source keep.", ExitFailure}},
		{is(provision.ErrDiskFull), Reason{"HOST_DISK_FULL", "No space is left on the host.", "Free space on the host and run the same command again.", ExitFailure}},
		{is(provision.ErrPortTaken), Reason{"ENGINE_PORT_TAKEN", "Another process listens on the engine's port on the host.", "Stop that process, or choose another port with --engine-port.", ExitFailure}},
		{is(provision.ErrMirror), Reason{"PACKAGES_UNREACHABLE", "The package source cannot be reached from the host.", "Check the host's network, proxy and mirror; --engine-repo-url names a mirror, --engine-source distro takes the distribution's package.", ExitFailure}},
		{is(provision.ErrLock), Reason{"PACKAGES_LOCKED", "The host's package manager was busy until the deadline.", "Wait for the process that the message names, then run the same command again.", ExitFailure}},
		{is(provision.ErrNoPackage), Reason{"ENGINE_VERSION_UNKNOWN", "The package source has no such engine version.", "Choose one of the versions that the message lists.", ExitFailure}},
		{is(provision.ErrDowngrade), Reason{"ENGINE_DOWNGRADE", "The host's engine is newer than the version asked for.", "Repeat with --force if a downgrade is meant.", ExitFailure}},
		{is(provision.ErrScript), Reason{"INSTALL_SCRIPT_FAILED", "The install script could not be fetched or failed.", "Check --engine-install-url and the script's output.", ExitFailure}},
		{is(provision.ErrCloudInit), Reason{"CLOUD_INIT_FAILED", "cloud-init reported an error on the host.", "machine ssh NAME sudo cat /var/log/cloud-init-output.log", ExitFailure}},
		{is(provision.ErrConfig), Reason{"DAEMON_JSON_CONFLICT", "The host's /etc/docker/daemon.json cannot be merged.", "Mend the file on the host and run the same command again.", ExitFailure}},
		{is(provision.ErrOption), Reason{"ENGINE_OPTION", "An engine option is malformed or set twice.", "dockerd --help lists the flags; give them as --engine-opt flag=value.", ExitUsage}},
		{is(provision.ErrEngineStart), Reason{"ENGINE_NOT_STARTED", "The engine does not start with its configuration.", "The engine's last lines name the option. Options are kept with the machine: machine rm NAME, then create it with the option mended.", ExitFailure}},
		{is(ErrHeld), Reason{"CLUSTER_HELD", "Some machines can only be made what the cluster file says by replacing them, which was not asked for. All else was done.", "Look at the plan, then machine up --allow-replace; or change the file back.", ExitFailure}},
		{is(ErrDeclined), Reason{"NOT_CONFIRMED", "The plan was not agreed to, or there was nobody to ask.", "Answer y when asked, or give -y.", ExitFailure}},
		{is(cluster.ErrOwned), Reason{"CLUSTER_OWNED", "A machine that the cluster file names belongs to another project or swarm.", "Give it another name in the file, or let it leave the other one first: machine rm NAME, or machine swarm leave NAME.", ExitFailure}},
		{is(ErrOperation), Reason{"SWARM_BUSY", "Long work on the swarm, such as an upgrade, was begun and has not ended.", "Go on with it by the command that the message names; machine swarm status tells how far it came.", ExitFailure}},
		{is(ErrOverSSH), Reason{"ENGINE_OVER_SSH", "The machine was adopted with --tls off: its engine and its host are left as they are, which the command would change.", "machine rm NAME, which leaves the host alone, then machine adopt --tls on ssh://USER@HOST NAME.", ExitFailure}},
		{is(ErrRefused), Reason{"ADOPT_REFUSED", "The host cannot be adopted in the way that was asked for. Nothing was changed.", "machine adopt --dry-run shows what was found; --tls off leaves the host as it is.", ExitCheck}},
		{is(ErrStays), Reason{"MACHINE_STAYS", "A machine cannot go to another store.", "machine export --reference takes along how to reach the host, whatever its driver.", ExitFailure}},
		{is(bundle.ErrFuture), Reason{"BUNDLE_FROM_FUTURE", "The bundle of machines was written by a newer version of machine.", "Use that version or a later one.", ExitFailure}},
		{is(bundle.ErrFormat), Reason{"BUNDLE_UNUSABLE", "The file is no whole bundle of machines. Nothing of it was taken.", "Export the machines again, or take another copy of the file.", ExitFailure}},
		{is(agefile.ErrKeys), Reason{"BACKUP_KEYS", "The backup or bundle cannot be encrypted for, or read with, what was given.", "Name a public key of age (age1...) with --recipient to write, the identity file with --identity to read, or the passphrase for both.", ExitFailure}},
		{is(swarmfile.ErrFormat, swarmfile.ErrDamaged), Reason{"BACKUP_UNUSABLE", "The file is no whole backup of a swarm.", "Take another copy of it; machine swarm restore --check FILE verifies one without touching anything.", ExitFailure}},
		{is(swarmfile.ErrFuture), Reason{"BACKUP_FROM_FUTURE", "The backup was written by a newer version of machine.", "Use that version or a later one.", ExitFailure}},
		{is(ErrFileExists), Reason{"FILE_EXISTS", "A file of this name exists, and is not overwritten.", "Choose another name, or repeat with --force where the command has it.", ExitFailure}},
		{is(ErrNoFolder), Reason{"FOLDER_MISSING", "The folder of a file that is to be written does not exist.", "Make the folder first, or name another file.", ExitFailure}},
		{is(swarmboot.ErrHealthy), Reason{"SWARM_HEALTHY", "The swarm needs no recovery.", "machine swarm status shows what it has.", ExitFailure}},
		{is(swarmboot.ErrNetwork), Reason{"SWARM_NETWORK", "Hosts of the swarm do not reach each other.", "Open 2377/tcp, 7946/tcp, 7946/udp and 4789/udp, or the swarm's own data path port, between them, or repeat with --no-preflight.", ExitFailure}},
		{is(swarmboot.ErrClock), Reason{"SWARM_CLOCK", "The clocks of the hosts are too far apart for certificates and for the managers to agree.", "Set the clocks by NTP on the hosts that the message names: timedatectl set-ntp true, or install chrony.", ExitFailure}},
		{is(swarmboot.ErrEngine), Reason{"SWARM_ENGINE", "An engine is set up in a way that does not go with Swarm mode.", "Change what the message names in the engine's options, or repeat with --no-preflight if the engine is known to take it.", ExitFailure}},
		{is(swarmboot.ErrForeign), Reason{"SWARM_FOREIGN", "The node belongs to another swarm.", "machine swarm leave NAME first; if that knows of no swarm: docker $(machine config NAME) swarm leave --force", ExitFailure}},
		{is(swarmboot.ErrLocked), Reason{"SWARM_LOCKED", "The swarm is locked.", "machine swarm unlock NAME", ExitFailure}},
		{is(swarmboot.ErrUnlockKey, managerkey.ErrKey), Reason{"SWARM_UNLOCK_KEY", "The swarm has another unlock key.", "Use the key of the last machine swarm unlock-key --rotate, or the one before it for a manager that was down at that time. While a manager is not locked, machine swarm unlock-key hands the key out.", ExitFailure}},
		{is(swarmboot.ErrNotLocking), Reason{"SWARM_NOT_LOCKING", "The managers of the swarm need no key.", "machine swarm autolock on NAME has them need one.", ExitFailure}},
		{is(swarmboot.ErrRotation), Reason{"SWARM_ROTATION", "Nodes are still without a certificate of the swarm's new authority; the managers go on handing them out.", "Bring back the nodes that the message names, or take them out of the swarm, then machine swarm rotate-ca NAME again.", ExitFailure}},
		{is(swarmboot.ErrNoManager), Reason{"SWARM_NO_MANAGER", "No manager of the swarm answers.", "While the managers choose a leader, the same command works again within a minute. Else machine ls tells which of them do not run: machine start NAME", ExitFailure}},
		{is(swarmboot.ErrNoLeader), Reason{"SWARM_NO_LEADER", "The swarm has managers and no leader: too few of them answer.", "Start managers again until more than half of them answer; if they are lost for good, machine swarm recover NAME.", ExitFailure}},
		{is(swarmboot.ErrStuck), Reason{"SWARM_PROMOTION_STUCK", "A worker that was promoted cannot become a manager: its engine tries to reach the manager that it once joined at, which is gone.", "machine swarm recover NAME has it leave the swarm and join again as a manager; its tasks start anew elsewhere.", ExitFailure}},
		{is(swarmboot.ErrTasks), Reason{"SWARM_TASKS_STAY", "Tasks of the node did not end in time.", "Look at what holds them; rm --force and swarm leave --force go on all the same; for an upgrade, mend the service or wait longer with --timeout.", ExitFailure}},
		{is(swarmboot.ErrReplicas), Reason{"SWARM_SERVICES", "Services run fewer tasks than before, and did not get them back in time.", "docker service ps --no-trunc SERVICE tells what its tasks wait for. Mend that and give the same command again; --drain-timeout waits longer.", ExitFailure}},
		{is(swarmboot.ErrState), Reason{"SWARM_NODE_STATE", "The node's part in its swarm is neither in nor out.", "docker info on the node says more; docker $(machine config NAME) swarm leave --force makes it free.", ExitFailure}},
		{is(swarmboot.ErrNode), Reason{"SWARM_NODE_SILENT", "A node's engine does not answer.", "machine ls, then machine provision NAME.", ExitFailure}},
		{is(swarmboot.ErrQuorum), Reason{"SWARM_QUORUM", "The swarm would lose its quorum.", "Bring the missing managers back first, or add managers; rm --force and swarm leave --force go on all the same.", ExitFailure}},
		{is(swarmboot.ErrNoNode), Reason{"SWARM_NODE_UNKNOWN", "The swarm does not list the node.", "machine swarm status tells what it lists, by machine, hostname and id.", ExitFailure}},
		{is(swarmboot.ErrAmbiguous), Reason{"SWARM_NODE_AMBIGUOUS", "Several nodes of the swarm have the same name.", "Name the node by its id, which the message lists.", ExitFailure}},
		{is(swarmboot.ErrNoService), Reason{"SWARM_SERVICE_UNKNOWN", "The swarm has no service or task of this name or id.", "docker service ls tells the services, docker service ps SERVICE the tasks.", ExitFailure}},
		{is(swarmboot.ErrReady), Reason{"SWARM_NODE_READY", "The node is in service, and would not know that it is removed.", "machine swarm leave NAME takes a machine out in good order; swarm rm-node --force removes a node all the same.", ExitFailure}},
		{is(swarmboot.ErrDataPath), Reason{"SWARM_DATA_PATH_PORT", "The swarm was made with another port for the traffic between containers, and keeps it.", "Leave --swarm-data-path-port out; only a new swarm can have another.", ExitUsage}},
		{is(swarmboot.ErrAddress), Reason{"SWARM_ADDRESS", "The address that other nodes reach the node at is not known.", "Name it with --swarm-advertise-addr ADDRESS.", ExitFailure}},
		{is(ErrNoSwarm, store.ErrNoCluster), Reason{"SWARM_UNKNOWN", "There is no such swarm in the store.", "machine swarm ls", ExitFailure}},
		{is(swarmboot.ErrClassicAPI), Reason{"CLASSIC_ENGINE_TOO_NEW", "The manager of classic Swarm speaks Engine API 1.40 at most, and the engine answers only newer ones.", "machine create --engine-env DOCKER_MIN_API_VERSION=1.24 NAME", ExitFailure}},
		{is(swarmboot.ErrClassicImage), Reason{"CLASSIC_IMAGE", "The engine cannot pull the image of classic Swarm.", "docker save IMAGE | docker $(machine config NAME) load, then the same command again; or name another with --swarm-image.", ExitFailure}},
		{is(ErrSwarmDown), Reason{"CLASSIC_MANAGER_SILENT", "The engine answers and the manager of the classic swarm on it does not.", "machine provision NAME brings its container to what it should be; docker logs swarm-agent-master on the machine tells why it ends.", ExitFailure}},
		{is(ErrKind), Reason{"SWARM_KIND", "The swarm, or the machine's part in it, is of another kind than the command is for.", "machine swarm ls tells the kinds.", ExitFailure}},
		{is(ErrNoCAKey), Reason{"AUTHORITY_KEY_MISSING", "The certificate authority is there and its private key is not, so nothing can be signed.", "Put the key back where the message says, or machine regenerate-certs --rotate-ca makes a new authority.", ExitFailure}},
		{is(certs.ErrExpired), Reason{"CERTIFICATE_EXPIRED", "A certificate has expired.", "machine regenerate-certs NAME; for the authority: machine regenerate-certs --rotate-ca", ExitFailure}},
		{is(certs.ErrNotYetValid), Reason{"CERTIFICATE_NOT_YET_VALID", "A certificate is not valid yet: a clock is wrong.", "Set the clock of this computer.", ExitFailure}},
		{is(certs.ErrAuthority, certs.ErrKey, certs.ErrMalformed, certs.ErrMalformedKey, certs.ErrHosts, certs.ErrUsage), Reason{"CERTIFICATE_UNUSABLE", "A certificate or key of the store does not fit the others.", "Restore the certs folder from a backup, or machine regenerate-certs NAME.", ExitFailure}},
		{is(certs.ErrHostName), Reason{"TLS_NAME_INVALID", "A name cannot be in a certificate.", "Give --tls-san an IP address or a DNS name, without scheme, port or brackets.", ExitUsage}},
		{is(ErrTLS), Reason{"ENGINE_UNREACHABLE", "The engine does not answer over TLS at its address.", "Check that a firewall lets the port through; machine provision NAME repairs the engine's side, machine regenerate-certs NAME its certificates.", ExitFailure}},
		{is(drivers.ErrUnsupported), Reason{"NOT_SUPPORTED", "The driver of this machine cannot do that.", "Do it by the host's own means.", ExitFailure}},
		{is(ErrAlready), Reason{"ALREADY_SO", "The machine is already as asked for.", "Nothing need be done.", ExitFailure}},
		{is(ErrNotRunning), Reason{"NOT_RUNNING", "The machine is not running.", "machine start NAME", ExitFailure}},
		{is(ErrNoActive), Reason{"NO_ACTIVE_HOST", "DOCKER_HOST points at no running machine of this store.", "eval $(machine env NAME)", ExitFailure}},
		{is(cluster.ErrFile), Reason{"CLUSTER_FILE", "The cluster file cannot be understood, or asks for what does not go together.", "Mend the file at the line and column that the message names; machine up --schema prints what may stand in it.", ExitUsage}},
		{is(ErrUsage), Reason{"USAGE", "The request cannot be understood.", "machine COMMAND --help", ExitUsage}},
		{is(swarmboot.ErrClassic), Reason{"CLASSIC_SWARM", "The classic swarm cannot be made or run as it is asked for.", "docker logs of the container that the message names tells more.", ExitFailure}},
		{is(context.DeadlineExceeded), Reason{"TIMED_OUT", "A phase did not end in its time.", "Run the same command again to continue.", ExitFailure}},
		{is(os.ErrPermission), Reason{"PERMISSION", "A file of this computer cannot be used.", "Check the owner and the mode of the file that the message names.", ExitFailure}},
		{nil, Reason{"UNKNOWN", "Something that has no name of its own yet.", "The same command with --debug tells all the details, and so does the log, if one is named.", ExitFailure}},
	}
}

// Reasons returns all reasons in the order of the documentation.
func Reasons() []Reason {
	rows := reasons()
	out := make([]Reason, len(rows))
	for i, r := range rows {
		out[i] = r.Reason
	}
	return out
}

// ReasonOf returns the reason of an error; the last one, UNKNOWN, if none fits.
func ReasonOf(err error) Reason {
	rows := reasons()
	for _, r := range rows[:len(rows)-1] {
		if slices.ContainsFunc(r.errs, func(target error) bool { return errors.Is(err, target) }) {
			if r.ID == lacks && !errors.Is(err, ErrCheck) {
				continue // then it is the host that does not exist
			}
			if r.ID != "CHECK_FAILED" && errors.Is(err, ErrCheck) {
				r.Exit = ExitCheck // whatever its cause, nothing was made
			}
			return r.Reason
		}
	}
	return rows[len(rows)-1].Reason
}

// HintOf returns the next thing to do after err: what the error itself advises, else its reason's fix.
func HintOf(err error) string {
	var h interface{ Hint() string }
	if errors.As(err, &h) && h.Hint() != "" {
		return h.Hint()
	}
	return ReasonOf(err).Fix
}

// DetailsOf returns the evidence that travels in err: what the host said, line by line.
func DetailsOf(err error) []string {
	var d interface{ Details() []string }
	if errors.As(err, &d) {
		return d.Details()
	}
	return nil
}
