#include "agent/memory.h"

#include <link.h>
#include <malloc.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

// Only segments that are not writable, program text and constants: nothing is ever written to them, so nothing can be
// lost.
static int release_clean(struct dl_phdr_info *info, size_t info_bytes, void *user)
{
	uintptr_t page = *(const uintptr_t *)user;
	bool is_vdso = info->dlpi_name && strstr(info->dlpi_name, "vdso"); // has no file behind it
	for (size_t i = 0; i < info->dlpi_phnum && !is_vdso; i++) {
		const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
		if (segment->p_type != PT_LOAD || (segment->p_flags & PF_W) != 0)
			continue;
		uintptr_t start = (info->dlpi_addr + segment->p_vaddr) & ~(page - 1);
		uintptr_t end = (info->dlpi_addr + segment->p_vaddr + segment->p_memsz + page - 1) & ~(page - 1);
		(void)madvise((void *)start, end - start, MADV_DONTNEED); // NOLINT(performance-no-int-to-ptr)
	}
	return 0;
}

void memory_settle(void)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
	(void)malloc_trim(0);
	(void)dl_iterate_phdr(release_clean, &page);
}
