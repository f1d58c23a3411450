// SPDX-License-Identifier: MIT
// A seccomp filter: a list of system calls that are allowed, some only with certain arguments; everything
// else is EPERM, so that a library that tries something and can do without goes on. clone3, whose arguments a
// filter cannot see, is ENOSYS: glibc then uses clone, where only threads are allowed. mprotect and mmap may
// make memory executable: the regular expressions of tokenizers are compiled here.
#include "runner/sandbox.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/sanitizer.h"

#if defined(__x86_64__)
#define THIS_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define THIS_ARCH AUDIT_ARCH_AARCH64
#endif

static const int allowed[] = {
    // descriptors that are open already
    SYS_read,
    SYS_write,
    SYS_readv,
    SYS_writev,
    SYS_pread64,
    SYS_close,
    SYS_fstat,
    SYS_lseek,
    SYS_fcntl,
    SYS_sendto,
    SYS_recvfrom,
    SYS_sendmsg,
    SYS_recvmsg,
    SYS_shutdown,
    SYS_ppoll,
#ifdef SYS_poll
    SYS_poll,
#endif
    // memory
    SYS_mmap,
    SYS_munmap,
    SYS_mremap,
    SYS_mprotect,
    SYS_madvise,
    SYS_brk,
    SYS_mlock,
    SYS_mlock2,
    SYS_munlock,
    SYS_mlockall,
    SYS_munlockall,
    SYS_mincore,
    // threads
    SYS_futex,
    SYS_set_robust_list,
    SYS_rseq,
    SYS_set_tid_address,
    SYS_sched_yield,
    SYS_sched_getaffinity,
    SYS_sched_setaffinity,
    SYS_getcpu,
    SYS_membarrier,
    SYS_exit,
    SYS_exit_group,
    SYS_gettid,
    SYS_getpid,
    SYS_restart_syscall,
    // signals to itself
    SYS_rt_sigaction,
    SYS_rt_sigprocmask,
    SYS_rt_sigreturn,
    SYS_sigaltstack,
    // time, chance, figures
    SYS_clock_gettime,
    SYS_clock_getres,
    SYS_clock_nanosleep,
    SYS_nanosleep,
    SYS_gettimeofday,
    SYS_getrandom,
    SYS_getrusage,
    SYS_sysinfo,
};

enum { MAX_RULES = 256, ARGUMENT_BYTES = 8 };

struct program {
    struct sock_filter rules[MAX_RULES];
    unsigned short n;
};

static void push(struct program *p, uint16_t code, uint32_t k, uint8_t if_true, uint8_t if_false)
{
    if (p->n < MAX_RULES)
        p->rules[p->n++] = (struct sock_filter){code, if_true, if_false, k};
}

static void push_load(struct program *p, size_t offset)
{
    push(p, BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset, 0, 0);
}

static void push_return(struct program *p, uint32_t value)
{
    push(p, BPF_RET | BPF_K, value, 0, 0);
}

static void push_load_call(struct program *p)
{
    push_load(p, offsetof(struct seccomp_data, nr));
}

// Call `number` is allowed if the low half of an argument, masked, is `value`.
static void push_argument_rule(struct program *p, int number, int argument_i, uint32_t mask, uint32_t value)
{
    push(p, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)number, 0, 5);
    push_load(p, offsetof(struct seccomp_data, args) +
                     (size_t)argument_i * ARGUMENT_BYTES); // little-endian: the low half comes first
    push(p, BPF_ALU | BPF_AND | BPF_K, mask, 0, 0);
    push(p, BPF_JMP | BPF_JEQ | BPF_K, value, 0, 1);
    push_return(p, SECCOMP_RET_ALLOW);
    push_load_call(p);
}

static void build(struct program *p)
{
    push_load(p, offsetof(struct seccomp_data, arch));
    push(p, BPF_JMP | BPF_JEQ | BPF_K, THIS_ARCH, 1, 0);
    push_return(p, SECCOMP_RET_KILL_PROCESS);
    push_load_call(p);
    for (size_t i = 0; i < COUNT_OF(allowed); i++) {
        push(p, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)allowed[i], 0, 1);
        push_return(p, SECCOMP_RET_ALLOW);
    }
    push_argument_rule(p, SYS_clone, 0, CLONE_THREAD | CLONE_VM, CLONE_THREAD | CLONE_VM);
    push_argument_rule(p, SYS_tgkill, 0, UINT32_MAX, (uint32_t)getpid()); // abort()
    push_argument_rule(p, SYS_prctl, 0, UINT32_MAX, PR_SET_NAME);
    push_argument_rule(p, SYS_prctl, 0, UINT32_MAX, PR_SET_VMA);
    push_argument_rule(p, SYS_newfstatat, 3, UINT32_MAX, 0x1000); // AT_EMPTY_PATH: fstat()
    push(p, BPF_JMP | BPF_JEQ | BPF_K, SYS_clone3, 0, 1);
    push_return(p, SECCOMP_RET_ERRNO | ENOSYS);
    push_return(p, SECCOMP_RET_ERRNO | EPERM);
}

int sandbox_enter(struct err *err)
{
    if (HAS_SANITIZER)
        return 0;
    struct program p = {.n = 0};
    build(&p);
    struct sock_fprog filter = {.len = p.n, .filter = p.rules};
    tzset(); // reads a file
    if (p.n == MAX_RULES)
        return err_set(err, ERR_INTERNAL, "the system call filter is too long");
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) != 0)
        return err_set(err, ERR_INTERNAL, "cannot filter system calls: %s", strerror(errno));
    return 0;
}
