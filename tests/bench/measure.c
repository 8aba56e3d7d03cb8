// SPDX-License-Identifier: MIT
// The processes and the memory they share.
#include "tests/bench/measure.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define INTERVAL_NS 200000 // between messages whose latency is measured
#define TIME_LIMIT  20	   // seconds for a measurement: more means that something got lost
#define BLOCK_MAX   (1 << 20)
#define READ_MIN    (64 << 10) // what a reader asks for at least
#define PROCESSES   (DUCT_READERS + 1)

struct shared {
	int64_t begun;		     // nanoseconds
	int64_t ended[DUCT_READERS]; // of each reader; of the writer where there is none
	_Atomic uint64_t total;	     // blocks in all; 0: not known yet
	int64_t latencies[LATENCY_SAMPLES];
};

struct job {
	struct shared *shared;
	const struct duct *duct;
	int reader; // index
	size_t block;
	int64_t duration; // nanoseconds
	unsigned samples;
	const char *from, *to; // of those that open by themselves, without a duct
	int cue[2];	       // between these two
	uint8_t *buffer;       // [BLOCK_MAX], aligned to a page; each process has its own
};

static int64_t now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

__attribute__((noreturn)) static void fail(const char *what)
{
	fprintf(stderr, "bench: %s: %s\n", what, strerror(errno));
	_exit(EXIT_FAILURE);
}

static void write_block(const struct job *job)
{
	for (size_t done = 0; done < job->block;) {
		ssize_t n = write(job->duct->writer, job->buffer + done, job->block - done);
		if (n <= 0)
			fail("write");
		done += (size_t)n;
	}
}

// Latency.

static void send_stamps(struct job *job)
{
	struct timespec interval = { .tv_nsec = INTERVAL_NS };

	for (unsigned i = 0; i < job->samples; i++) {
		nanosleep(&interval, NULL);
		int64_t stamp = now();
		memcpy(job->buffer, &stamp, sizeof stamp);
		write_block(job);
	}
}

static void take_stamps(struct job *job)
{
	for (unsigned i = 0; i < job->samples; i++) {
		int64_t stamp;
		if (read(job->duct->readers[0], job->buffer, job->block) != (ssize_t)job->block)
			fail("read");
		memcpy(&stamp, job->buffer, sizeof stamp);
		job->shared->latencies[i] = now() - stamp;
	}
}

// Flow.

static void send_blocks(struct job *job)
{
	struct shared *shared = job->shared;
	bool last = false;

	shared->begun = now();
	for (uint64_t i = 0; !last; i++) {
		last = now() - shared->begun >= job->duration;
		// Known before the reader can have it, so that it never waits for more.
		if (last)
			shared->total = i + 1;
		memcpy(job->buffer, &i, sizeof i);
		write_block(job);
	}
	if (job->duct->reader_count == 0)
		shared->ended[0] = now();
}

// Do the blocks that begin within these bytes of the flow come in their order?
static bool in_order(const struct job *job, uint64_t offset, size_t n)
{
	uint64_t number = (offset + job->block - 1) / job->block, found;

	for (size_t at = number * job->block - offset; at + sizeof found <= n; at += job->block) {
		memcpy(&found, job->buffer + at, sizeof found);
		if (found != number++)
			return false;
	}
	return true;
}

static void take_blocks(struct job *job)
{
	size_t size = job->block > READ_MIN ? job->block : READ_MIN;
	uint64_t offset = 0, total = 0;

	while (total == 0 || offset < total * job->block) {
		ssize_t n = read(job->duct->readers[job->reader], job->buffer, size);
		if (n <= 0)
			fail("read");
		if (!in_order(job, offset, (size_t)n)) {
			errno = EILSEQ;
			fail("a block is missing");
		}
		offset += (size_t)n;
		total = job->shared->total;
	}
	job->shared->ended[job->reader] = now();
}

// Opening.

static void send_first(struct job *job)
{
	struct timespec interval = { .tv_nsec = INTERVAL_NS };
	char byte = 0;

	for (unsigned i = 0; i < job->samples; i++) {
		nanosleep(&interval, NULL);
		job->shared->begun = now();
		if (write(job->cue[0], &byte, 1) != 1)
			fail("cue");
		int fd = open(job->from, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
		if (fd < 0 || write(fd, &byte, 1) != 1)
			fail(job->from);
		close(fd);
		if (read(job->cue[0], &byte, 1) != 1)
			fail("cue");
	}
}

static void take_first(struct job *job)
{
	char byte;

	for (unsigned i = 0; i < job->samples; i++) {
		if (read(job->cue[1], &byte, 1) != 1)
			fail("cue");
		int fd = open(job->to, O_RDONLY | O_CLOEXEC);
		if (fd < 0 || read(fd, &byte, 1) != 1)
			fail(job->to);
		job->shared->latencies[i] = now() - job->shared->begun;
		if (read(fd, &byte, 1) != 0)
			fail("more than was written");
		close(fd);
		if (write(job->cue[1], &byte, 1) != 1)
			fail("cue");
	}
}

// Processes.

static pid_t spawn(struct job *job, void (*work)(struct job *job))
{
	pid_t pid = fork();
	if (pid != 0)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	alarm(TIME_LIMIT);
	work(job);
	_exit(EXIT_SUCCESS);
}

// Waits for all children of our group: those of rivals have others. -EIO when one of them failed;
// then the others are ended.
static int await(const pid_t *pids, int count)
{
	int status, r = 0;

	while (waitpid(0, &status, 0) > 0) {
		if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SUCCESS)
			continue;
		if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)
			fprintf(stderr, "bench: not everything arrived\n");
		r = -EIO;
		for (int i = 0; i < count; i++)
			if (pids[i] > 0)
				kill(pids[i], SIGKILL);
	}
	return r;
}

static int run(struct job *job, void (*send)(struct job *job), void (*take)(struct job *job))
{
	pid_t pids[PROCESSES] = { 0 };
	bool started = true;
	struct job taking = *job;
	int count = job->duct ? job->duct->reader_count : 1;

	for (int i = 0; i < count; i++) {
		taking.buffer += BLOCK_MAX;
		taking.reader = i;
		pids[i] = spawn(&taking, take);
		started &= pids[i] > 0;
	}
	pids[count] = spawn(job, send);
	int r = await(pids, count + 1);
	return started && pids[count] > 0 ? r : -EAGAIN;
}

// Memory that is there already: a page fault is not to be measured.
static void *map(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	return p == MAP_FAILED ? NULL : p;
}

static int job_init(struct job *job)
{
	job->shared = map(sizeof *job->shared);
	job->buffer = map(PROCESSES * BLOCK_MAX);
	return job->shared && job->buffer ? 0 : -ENOMEM;
}

static void job_fini(struct job *job)
{
	if (job->shared)
		munmap(job->shared, sizeof *job->shared);
	if (job->buffer)
		munmap(job->buffer, PROCESSES * BLOCK_MAX);
}

static int compare(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
	return (x > y) - (x < y);
}

static void set_latency(struct latency *result, int64_t *all, unsigned count)
{
	qsort(all, count, sizeof *all, compare);
	result->p50 = (double)all[count / 2] / 1e9;
	result->p99 = (double)all[count * 99 / 100] / 1e9;
}

int measure_latency(struct latency *result, const struct duct *duct, unsigned samples)
{
	struct job job = { .duct = duct, .block = LATENCY_BYTES, .samples = samples };
	int r = job_init(&job);

	if (r == 0)
		r = run(&job, send_stamps, take_stamps);
	if (r == 0)
		set_latency(result, job.shared->latencies, samples);
	job_fini(&job);
	return r;
}

int measure_first(struct latency *result, const char *from, const char *to, unsigned samples)
{
	struct job job = { .from = from, .to = to, .samples = samples };
	int r = job_init(&job);

	if (r == 0 && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, job.cue) < 0)
		r = -errno;
	if (r < 0)
		goto out;
	r = run(&job, send_first, take_first);
	close(job.cue[0]);
	close(job.cue[1]);
	if (r == 0)
		set_latency(result, job.shared->latencies, samples);
out:
	job_fini(&job);
	return r;
}

int measure_flow(double *result, const struct duct *duct, size_t block, double seconds)
{
	struct job job = { .duct = duct, .block = block, .duration = (int64_t)(seconds * 1e9) };
	int r = job_init(&job);

	if (r == 0)
		r = run(&job, send_blocks, take_blocks);
	int64_t ended = 0;
	for (int i = 0; r == 0 && i < DUCT_READERS; i++)
		ended = job.shared->ended[i] > ended ? job.shared->ended[i] : ended;
	if (r == 0)
		*result = (double)job.shared->total / ((double)(ended - job.shared->begun) / 1e9);
	job_fini(&job);
	return r;
}
