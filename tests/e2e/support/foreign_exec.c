// Preloaded into the programs of a simulated Android device: a program for another processor is run by qemu-user, as
// binfmt_misc would do it, which takes rights over the whole machine to set up.
#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ARGUMENTS_MAX 1024

extern char **environ;

static const char *emulator_of(const char *path)
{
	Elf64_Ehdr header = {0}; // e_machine stands at the same place in both classes
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return NULL;
	ssize_t got = read(fd, &header, sizeof(header));
	(void)close(fd);
	if (got < (ssize_t)sizeof(header) || memcmp(header.e_ident, ELFMAG, SELFMAG) != 0)
		return NULL;
	return header.e_machine == EM_AARCH64 ? "/usr/bin/qemu-aarch64"
	       : header.e_machine == EM_ARM   ? "/usr/bin/qemu-arm"
					      : NULL;
}

int execve(const char *path, char *const argv[], char *const envp[])
{
	int (*next)(const char *, char *const[], char *const[]) = dlsym(RTLD_NEXT, "execve");
	const char *emulator = emulator_of(path);
	if (!emulator)
		return next(path, argv, envp);
	char *arguments[ARGUMENTS_MAX] = {(char *)emulator, (char *)path};
	size_t count = 2;
	for (size_t i = 1; argv[0] && argv[i]; i++) {
		if (count == ARGUMENTS_MAX - 1) {
			errno = E2BIG;
			return -1;
		}
		arguments[count++] = argv[i];
	}
	return next(emulator, arguments, envp);
}

int execv(const char *path, char *const argv[])
{
	return execve(path, argv, environ);
}

int execvp(const char *file, char *const argv[])
{
	char path[4096];
	const char *folders = getenv("PATH");
	if (strchr(file, '/'))
		return execve(file, argv, environ);
	errno = ENOENT;
	for (const char *at = folders; at && *at; at += strcspn(at, ":"), at += *at == ':') {
		(void)snprintf(path, sizeof(path), "%.*s/%s", (int)strcspn(at, ":"), at, file);
		if (access(path, X_OK) == 0)
			return execve(path, argv, environ);
	}
	return -1;
}
