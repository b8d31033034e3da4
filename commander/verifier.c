#include "commander/verifier.h"

#include "common/limits.h"
#include "common/signature.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct thread {
	struct verifier *verifier;
	struct signature_checker *checker;
	pthread_t id;
};

struct verifier {
	struct signature_checker *checker; // the caller's
	struct thread threads[VERIFIER_THREADS_MAX];
	size_t thread_count; // that run

	pthread_mutex_t mutex; // over all that follows, and the answers in the checks
	pthread_cond_t begun, progress;
	struct verifier_check *checks;
	size_t count, next; // next: the first that nobody has begun
	size_t working;	    // checks that somebody is at
	bool stop;
};

static void check_one(struct signature_checker *checker, const struct verifier_check *check, bool *good, size_t *index)
{
	*good = check->certificates && check->text && check->sig &&
		signature_check(checker, check->certificates, check->text, strlen(check->text), check->sig, index,
				NULL);
}

// With the mutex, which is left meanwhile.
static void take_one(struct verifier *verifier, struct signature_checker *checker)
{
	struct verifier_check *check = &verifier->checks[verifier->next++];
	size_t index = 0;
	bool good = false;

	verifier->working++;
	(void)pthread_mutex_unlock(&verifier->mutex);
	check_one(checker, check, &good, &index);
	(void)pthread_mutex_lock(&verifier->mutex);
	check->good = good;
	check->index = index;
	check->done = true;
	verifier->working--;
	(void)pthread_cond_signal(&verifier->progress);
}

static void *thread_main(void *user)
{
	struct thread *thread = user;
	struct verifier *verifier = thread->verifier;

	(void)pthread_mutex_lock(&verifier->mutex);
	while (!verifier->stop) {
		if (verifier->next < verifier->count)
			take_one(verifier, thread->checker);
		else
			(void)pthread_cond_wait(&verifier->begun, &verifier->mutex);
	}
	(void)pthread_mutex_unlock(&verifier->mutex);
	return NULL;
}

void verifier_start(struct verifier *verifier, struct verifier_check *checks, size_t count)
{
	(void)pthread_mutex_lock(&verifier->mutex);
	for (size_t i = 0; i < count; i++)
		checks[i].done = false;
	verifier->checks = checks;
	verifier->count = count;
	verifier->next = 0;
	if (count > 1) // a single one is done sooner than a thread is awake
		(void)pthread_cond_broadcast(&verifier->begun);
	(void)pthread_mutex_unlock(&verifier->mutex);
}

void verifier_await(struct verifier *verifier, size_t count)
{
	size_t first = 0;

	(void)pthread_mutex_lock(&verifier->mutex);
	for (;;) {
		while (first < count && verifier->checks[first].done)
			first++;
		if (first == count)
			break;
		if (verifier->next < count)
			take_one(verifier, verifier->checker);
		else
			(void)pthread_cond_wait(&verifier->progress, &verifier->mutex);
	}
	(void)pthread_mutex_unlock(&verifier->mutex);
}

void verifier_stop(struct verifier *verifier)
{
	(void)pthread_mutex_lock(&verifier->mutex);
	verifier->next = verifier->count = 0;
	while (verifier->working > 0)
		(void)pthread_cond_wait(&verifier->progress, &verifier->mutex);
	verifier->checks = NULL;
	(void)pthread_mutex_unlock(&verifier->mutex);
}

// ---- making ----

static bool start_threads(struct verifier *verifier, struct error *error)
{
	long others = sysconf(_SC_NPROCESSORS_ONLN) - 1;
	size_t wanted = others < 1 ? 1 : others > VERIFIER_THREADS_MAX ? VERIFIER_THREADS_MAX : (size_t)others;

	while (verifier->thread_count < wanted) {
		struct thread *thread = &verifier->threads[verifier->thread_count];
		thread->verifier = verifier;
		thread->checker = signature_checker_new(error);
		if (!thread->checker)
			return false;
		int code = pthread_create(&thread->id, NULL, thread_main, thread);
		if (code != 0)
			return error_errno(error, code, "cannot start a thread that checks signatures");
		verifier->thread_count++;
	}
	return true;
}

struct verifier *verifier_new(struct error *error)
{
	struct verifier *verifier cleanup(verifier_free_cleanup) = calloc(1, sizeof(*verifier));

	if (!verifier) {
		error_errno(error, ENOMEM, "cannot check signatures");
		return NULL;
	}
	(void)pthread_mutex_init(&verifier->mutex, NULL); // none of these can fail on Linux
	(void)pthread_cond_init(&verifier->begun, NULL);
	(void)pthread_cond_init(&verifier->progress, NULL);
	verifier->checker = signature_checker_new(error);
	return verifier->checker && start_threads(verifier, error) ? steal(verifier) : NULL;
}

void verifier_free(struct verifier *verifier)
{
	if (!verifier)
		return;
	(void)pthread_mutex_lock(&verifier->mutex);
	verifier->stop = true;
	(void)pthread_cond_broadcast(&verifier->begun);
	(void)pthread_mutex_unlock(&verifier->mutex);
	for (size_t i = 0; i < verifier->thread_count; i++)
		(void)pthread_join(verifier->threads[i].id, NULL);
	for (size_t i = 0; i < VERIFIER_THREADS_MAX; i++)
		signature_checker_free(verifier->threads[i].checker);
	signature_checker_free(verifier->checker);
	(void)pthread_cond_destroy(&verifier->progress);
	(void)pthread_cond_destroy(&verifier->begun);
	(void)pthread_mutex_destroy(&verifier->mutex);
	free(verifier);
}
