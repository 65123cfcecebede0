/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whatever is not here fails with EPERM. The list is kept by what a call is for, so that a look at
 * one line tells whether a new call belongs into it. Left out on purpose for everyone: keyctl,
 * add_key, request_key    keyrings are not namespaced io_uring_*                      a second way
 * into most calls, past this filter userfaultfd                     makes kernel races easy to win
 *   kexec_*, init_module, swapon …  the host's business
 *   clone, clone3, socket, personality, ptrace   have conditions: see seccomp.c
 */
#include "runtime/seccomp/list.h"

#include "common/macro.h"

const struct seccomp_group seccomp_groups[] = {
	/* open, read, write, close */
	{ NULL, "open openat openat2 creat close close_range read readv pread64 preadv preadv2 "
		"write writev "
		"pwrite64 pwritev pwritev2 lseek _llseek dup dup2 dup3 pipe pipe2 fcntl fcntl64 "
		"ioctl flock "
		"sendfile sendfile64 splice tee vmsplice copy_file_range readahead memfd_create "
		"memfd_secret" },
	/* names and attributes of files */
	{ NULL,
	  "access faccessat faccessat2 chdir fchdir getcwd chmod fchmod fchmodat fchmodat2 chown "
	  "chown32 "
	  "fchown fchown32 fchownat lchown lchown32 link linkat symlink symlinkat unlink unlinkat "
	  "rename "
	  "renameat renameat2 mkdir mkdirat rmdir mknod mknodat readlink readlinkat getdents "
	  "getdents64 "
	  "utime utimes utimensat utimensat_time64 futimesat umask name_to_handle_at cachestat" },
	{ NULL, "stat stat64 fstat fstat64 lstat lstat64 newfstatat fstatat64 statx statfs "
		"statfs64 fstatfs "
		"fstatfs64 ustat listmount statmount" },
	{ NULL,
	  "getxattr lgetxattr fgetxattr getxattrat setxattr lsetxattr fsetxattr setxattrat "
	  "listxattr "
	  "llistxattr flistxattr listxattrat removexattr lremovexattr fremovexattr removexattrat" },
	{ NULL, "truncate truncate64 ftruncate ftruncate64 fallocate sync syncfs fsync fdatasync "
		"sync_file_range sync_file_range2 arm_sync_file_range fadvise64 fadvise64_64 "
		"arm_fadvise64_64" },
	/* waiting for descriptors and files */
	{ NULL,
	  "select _newselect pselect6 pselect6_time64 poll ppoll ppoll_time64 epoll_create "
	  "epoll_create1 "
	  "epoll_ctl epoll_ctl_old epoll_wait epoll_wait_old epoll_pwait epoll_pwait2 eventfd "
	  "eventfd2 "
	  "inotify_init inotify_init1 inotify_add_watch inotify_rm_watch fanotify_mark signalfd "
	  "signalfd4" },
	{ NULL, "io_setup io_destroy io_submit io_cancel io_getevents io_pgetevents "
		"io_pgetevents_time64" },
	/* memory */
	{ NULL, "brk mmap mmap2 munmap mremap mprotect msync madvise mincore mlock mlock2 mlockall "
		"munlock "
		"munlockall remap_file_pages membarrier map_shadow_stack pkey_alloc pkey_free "
		"pkey_mprotect "
		"mseal process_mrelease" },
	/* processes and threads: to start, end, wait for and tell about them */
	{ NULL, "execve execveat fork vfork exit exit_group wait4 waitpid waitid getpid getppid "
		"gettid getpgid "
		"getpgrp setpgid getsid setsid set_tid_address set_thread_area get_thread_area "
		"arch_prctl "
		"modify_ldt prctl seccomp rseq pidfd_open pidfd_send_signal set_robust_list "
		"get_robust_list "
		"futex futex_time64 futex_waitv futex_wake futex_wait futex_requeue "
		"landlock_create_ruleset "
		"landlock_add_rule landlock_restrict_self capget capset lsm_get_self_attr "
		"lsm_set_self_attr "
		"lsm_list_modules" },
	/* signals */
	{ NULL,
	  "kill tkill tgkill pause signal sigaction sigprocmask sigpending sigsuspend sigreturn "
	  "sigaltstack rt_sigaction rt_sigprocmask rt_sigpending rt_sigsuspend rt_sigreturn "
	  "rt_sigqueueinfo rt_tgsigqueueinfo rt_sigtimedwait rt_sigtimedwait_time64 "
	  "restart_syscall" },
	/* identity */
	{ NULL,
	  "getuid getuid32 geteuid geteuid32 getgid getgid32 getegid getegid32 getresuid "
	  "getresuid32 "
	  "getresgid getresgid32 getgroups getgroups32 setuid setuid32 setgid setgid32 setreuid "
	  "setreuid32 setregid setregid32 setresuid setresuid32 setresgid setresgid32 setgroups "
	  "setgroups32 setfsuid setfsuid32 setfsgid setfsgid32" },
	/* scheduling and limits */
	{ NULL,
	  "sched_yield sched_getparam sched_setparam sched_getscheduler sched_setscheduler "
	  "sched_getattr "
	  "sched_setattr sched_getaffinity sched_setaffinity sched_get_priority_max "
	  "sched_get_priority_min sched_rr_get_interval sched_rr_get_interval_time64 getpriority "
	  "setpriority nice ioprio_get ioprio_set getcpu getrlimit ugetrlimit setrlimit prlimit64 "
	  "getrusage times sysinfo uname getrandom" },
	/* time */
	{ NULL,
	  "time gettimeofday clock_gettime clock_gettime64 clock_getres clock_getres_time64 "
	  "clock_nanosleep clock_nanosleep_time64 nanosleep alarm getitimer setitimer timer_create "
	  "timer_delete timer_gettime timer_gettime64 timer_settime timer_settime64 "
	  "timer_getoverrun "
	  "timerfd timerfd_create timerfd_gettime timerfd_gettime64 timerfd_settime "
	  "timerfd_settime64 "
	  "adjtimex clock_adjtime clock_adjtime64" },
	/* network; socket() itself has a condition */
	{ NULL,
	  "socketpair bind listen accept accept4 connect shutdown getsockname getpeername "
	  "getsockopt "
	  "setsockopt send sendto sendmsg sendmmsg recv recvfrom recvmsg recvmmsg recvmmsg_time64 "
	  "socketcall" },
	/* System V and POSIX communication; both live in the container's ipc namespace */
	{ NULL, "ipc msgctl msgget msgrcv msgsnd semctl semget semop semtimedop semtimedop_time64 "
		"shmat shmctl "
		"shmdt shmget mq_open mq_unlink mq_notify mq_getsetattr mq_timedreceive "
		"mq_timedreceive_time64 "
		"mq_timedsend mq_timedsend_time64" },
	/* of one architecture */
	{ NULL,
	  "arm_fadvise64_64 breakpoint cacheflush set_tls sync_file_range2 riscv_flush_icache "
	  "riscv_hwprobe s390_pci_mmio_read s390_pci_mmio_write s390_runtime_instr swapcontext "
	  "get_tls uretprobe" },
	/* What a capability opens: the kernel checks it too, but the call itself is out of reach
	   without. */
	{ "CAP_SYS_ADMIN",
	  "bpf fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie mount mount_setattr "
	  "move_mount open_tree perf_event_open pivot_root quotactl quotactl_fd setdomainname "
	  "sethostname setns syslog umount umount2 unshare clone clone3" },
	{ "CAP_BPF", "bpf" },
	{ "CAP_DAC_READ_SEARCH", "open_by_handle_at" },
	{ "CAP_PERFMON", "perf_event_open" },
	{ "CAP_SYSLOG", "syslog" },
	{ "CAP_SYS_BOOT", "reboot" },
	{ "CAP_SYS_CHROOT", "chroot" },
	{ "CAP_SYS_MODULE", "delete_module init_module finit_module" },
	{ "CAP_SYS_NICE",
	  "get_mempolicy mbind set_mempolicy set_mempolicy_home_node move_pages migrate_pages" },
	{ "CAP_SYS_PACCT", "acct" },
	{ "CAP_SYS_PTRACE",
	  "kcmp pidfd_getfd process_madvise process_vm_readv process_vm_writev ptrace" },
	{ "CAP_SYS_RAWIO", "ioperm iopl" },
	{ "CAP_SYS_TIME", "settimeofday stime clock_settime clock_settime64" },
	{ "CAP_SYS_TTY_CONFIG", "vhangup" },
};
const size_t n_seccomp_groups = ARRAY_SIZE(seccomp_groups);
