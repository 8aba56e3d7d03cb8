// SPDX-License-Identifier: MIT
// Keys and certificates, and the processes that use them.
#include "tests/bench/rival.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/bench/place.h"

#define START_TIME 10000 // milliseconds
#define PIPE_BYTES (1 << 20)
#define SSHD	   "/usr/sbin/sshd" // it starts itself again, and wants its full name for that
#define WORD_MAX   (4 * PATH_MAX)

static bool exists(const char *program)
{
	char path[PATH_MAX], dirs[PATH_MAX], *rest = dirs, *dir;

	snprintf(dirs, sizeof dirs, "%s", getenv("PATH") ? getenv("PATH") : "/usr/bin:/bin");
	while ((dir = strsep(&rest, ":"))) {
		snprintf(path, sizeof path, "%s/%s", dir, program);
		if (access(path, X_OK) == 0)
			return true;
	}
	return false;
}

const char *rival_socat_lacks(void)
{
	if (!exists("socat") || !exists("openssl"))
		return "apt-get install --no-install-recommends socat openssl";
	return NULL;
}

const char *rival_ssh_lacks(void)
{
	if (!exists("ssh") || !exists("ssh-keygen") || access(SSHD, X_OK) < 0)
		return "apt-get install --no-install-recommends openssh-server openssh-client";
	// Started by root, it changes to a user without rights, in this directory.
	if (geteuid() == 0 && access("/run/sshd", F_OK) < 0)
		return "mkdir -m 0755 /run/sshd";
	return NULL;
}

// In a group of its own, which ends with rival_stop() or with us. -1: as /dev/null.
static pid_t start(const char *const words[], int in, int out)
{
	sigset_t none;
	pid_t pid = fork();
	if (pid != 0)
		return pid;
	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	dup2(in >= 0 ? in : null, STDIN_FILENO);
	dup2(out >= 0 ? out : null, STDOUT_FILENO);
	dup2(null, STDERR_FILENO);
	execvp(words[0], (char *const *)words);
	_exit(127);
}

static int run(const char *const words[])
{
	int status = 0;
	pid_t pid = start(words, -1, -1);

	if (pid < 0)
		return -errno;
	if (waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	fprintf(stderr, "bench: %s does not do its work\n", words[0]);
	return -EIO;
}

static bool is_there(const char *directory, const char *name)
{
	char path[PATH_MAX];
	snprintf(path, sizeof path, "%s/%s", directory, name);
	return access(path, F_OK) == 0;
}

static bool readable(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	return poll(&p, 1, START_TIME) == 1;
}

// One byte that comes through ends the handshake and the start of the processes.
static int await_byte(int reader, int writer)
{
	char byte = 0;
	if (write(writer, &byte, 1) != 1)
		return -EIO;
	return readable(reader) && read(reader, &byte, 1) == 1 ? 0 : -ETIMEDOUT;
}

static int make_pipe(int ends[2])
{
	if (pipe2(ends, O_CLOEXEC) < 0)
		return -errno;
	fcntl(ends[1], F_SETPIPE_SZ, PIPE_BYTES);
	return 0;
}

static void close_if_open(int fd)
{
	if (fd >= 0)
		close(fd);
}

// socat.

static int make_certificate(const char *directory, const char *name)
{
	char key[PATH_MAX], certificate[PATH_MAX];

	snprintf(key, sizeof key, "%s/%s.key", directory, name);
	snprintf(certificate, sizeof certificate, "%s/%s.crt", directory, name);
	const char *const words[] = { "openssl", "req", "-x509", "-newkey", "ed25519", "-nodes",
		"-days", "1", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1",
		"-keyout", key, "-out", certificate, NULL };
	return access(certificate, F_OK) == 0 ? 0 : run(words);
}

int rival_start_socat(struct rival *rival, const char *directory, int *reader, int *writer)
{
	int in[2] = { -1, -1 }, out[2] = { -1, -1 }, port = place_free_port();
	char from[WORD_MAX], to[WORD_MAX];
	int r = port < 0 ? port : make_certificate(directory, "server");

	if (r == 0)
		r = make_certificate(directory, "client");
	if (r == 0)
		r = make_pipe(in);
	if (r == 0)
		r = make_pipe(out);
	if (r < 0)
		goto out;
	snprintf(from, sizeof from,
		"OPENSSL-LISTEN:%d,bind=127.0.0.1,reuseaddr,key=%s/server.key,"
		"cert=%s/server.crt,cafile=%s/client.crt,verify=1",
		port, directory, directory, directory);
	snprintf(to, sizeof to,
		"OPENSSL:127.0.0.1:%d,retry=100,interval=0.1,key=%s/client.key,"
		"cert=%s/client.crt,cafile=%s/server.crt,verify=1",
		port, directory, directory, directory);
	// Blocks larger than its own default, with which it is slower.
	const char *const server[] = { "socat", "-u", "-b", "65536", from, "STDOUT", NULL };
	const char *const client[] = { "socat", "-u", "-b", "65536", "STDIN", to, NULL };
	rival->processes[0] = start(server, -1, out[1]);
	rival->processes[1] = start(client, in[0], -1);
	r = rival->processes[0] < 0 || rival->processes[1] < 0 ? -EAGAIN
							       : await_byte(out[0], in[1]);
	*reader = out[0];
	*writer = in[1];
	out[0] = in[1] = -1;
out:
	for (int i = 0; i < 2; i++) {
		close_if_open(in[i]);
		close_if_open(out[i]);
	}
	return r;
}

// ssh.

static int write_file(const char *directory, const char *name, const char *text)
{
	char path[PATH_MAX];

	snprintf(path, sizeof path, "%s/%s", directory, name);
	FILE *f = fopen(path, "we");
	if (!f)
		return -errno;
	fputs(text, f);
	return fclose(f) == 0 ? 0 : -EIO;
}

static int make_key(const char *directory, const char *name)
{
	char path[PATH_MAX];

	snprintf(path, sizeof path, "%s/%s", directory, name);
	const char *const words[] = { "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path,
		NULL };
	return is_there(directory, name) ? 0 : run(words);
}

// The client knows the server's key, and the server the client's.
static int configure_ssh(const char *directory, int port)
{
	char path[PATH_MAX], line[1024], text[4096];
	int r = make_key(directory, "ssh-host");

	if (r == 0)
		r = make_key(directory, "ssh-user");
	if (r < 0)
		return r;
	snprintf(path, sizeof path, "%s/ssh-host.pub", directory);
	FILE *f = fopen(path, "re");
	if (!f || !fgets(line, sizeof line, f)) {
		r = -EIO;
	} else {
		snprintf(text, sizeof text, "[127.0.0.1]:%d %s", port, line);
		r = write_file(directory, "ssh-known", text);
	}
	if (f)
		fclose(f);
	// The permissions of a temporary directory's parents are not as it likes them.
	snprintf(text, sizeof text,
		"Port %d\nListenAddress 127.0.0.1\nHostKey %s/ssh-host\nPidFile none\n"
		"AuthorizedKeysFile %s/ssh-user.pub\nStrictModes no\nUsePAM no\n"
		"PermitRootLogin prohibit-password\nPasswordAuthentication no\n"
		"KbdInteractiveAuthentication no\n",
		port, directory, directory);
	return r == 0 ? write_file(directory, "ssh-config", text) : r;
}

static struct sockaddr_in loopback(int port)
{
	return (struct sockaddr_in){
		.sin_family = AF_INET,
		.sin_addr = { htonl(INADDR_LOOPBACK) },
		.sin_port = htons((uint16_t)port),
	};
}

static int await_port(int port)
{
	struct sockaddr_in a = loopback(port);
	int r = -1;

	for (unsigned waited = 0; r < 0 && waited < START_TIME; waited += 10) {
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		r = connect(fd, (void *)&a, sizeof a);
		close(fd);
		if (r < 0)
			usleep(10000);
	}
	return r < 0 ? -ETIMEDOUT : 0;
}

// Where the forwarded bytes come out. Gives the port.
static int listen_somewhere(int *listener)
{
	struct sockaddr_in a = loopback(0);
	socklen_t size = sizeof a;

	*listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (*listener < 0 || bind(*listener, (void *)&a, size) < 0 || listen(*listener, 1) < 0 ||
		getsockname(*listener, (void *)&a, &size) < 0)
		return -errno;
	return ntohs(a.sin_port);
}

// The client forwards its standard input: no command on the other side that copies once more.
static int start_forwarding(
	struct rival *rival, const char *directory, int port, int target, int in)
{
	struct passwd *user = getpwuid(geteuid());
	char ports[16], forward[32], config[PATH_MAX], key[PATH_MAX], known[WORD_MAX];

	snprintf(ports, sizeof ports, "%d", port);
	snprintf(forward, sizeof forward, "127.0.0.1:%d", target);
	snprintf(config, sizeof config, "%s/ssh-config", directory);
	snprintf(key, sizeof key, "%s/ssh-user", directory);
	snprintf(known, sizeof known, "UserKnownHostsFile=%s/ssh-known", directory);
	const char *const server[] = { SSHD, "-D", "-q", "-f", config, NULL };
	const char *const client[] = { "ssh", "-q", "-F", "none", "-p", ports, "-l",
		user ? user->pw_name : "root", "-i", key, "-o", "IdentitiesOnly=yes", "-o",
		"BatchMode=yes", "-o", "StrictHostKeyChecking=yes", "-o", known, "-W", forward,
		"127.0.0.1", NULL };
	rival->processes[0] = start(server, -1, -1);
	int r = rival->processes[0] < 0 ? -EAGAIN : await_port(port);
	if (r == 0) {
		rival->processes[1] = start(client, in, -1);
		r = rival->processes[1] < 0 ? -EAGAIN : 0;
	}
	return r;
}

int rival_start_ssh(struct rival *rival, const char *directory, int *reader, int *writer)
{
	int in[2] = { -1, -1 }, listener = -1, port = place_free_port();
	int r = port < 0 ? port : configure_ssh(directory, port);

	if (r == 0)
		r = make_pipe(in);
	if (r == 0)
		r = listen_somewhere(&listener);
	if (r > 0)
		r = start_forwarding(rival, directory, port, r, in[0]);
	if (r < 0)
		goto out;
	*reader = readable(listener) ? accept4(listener, NULL, NULL, SOCK_CLOEXEC) : -1;
	*writer = in[1];
	in[1] = -1;
	r = *reader < 0 ? -ETIMEDOUT : await_byte(*reader, *writer);
out:
	close_if_open(in[0]);
	close_if_open(in[1]);
	close_if_open(listener);
	return r;
}

void rival_stop(struct rival *rival)
{
	for (int i = 0; i < RIVAL_PROCESSES; i++)
		if (rival->processes[i] > 0) {
			kill(-rival->processes[i], SIGKILL);
			kill(rival->processes[i], SIGKILL); // it may not lead its group yet
			waitpid(rival->processes[i], NULL, 0);
		}
	*rival = (struct rival){ 0 };
}
