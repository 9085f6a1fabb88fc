/* SPDX-License-Identifier: Apache-2.0
 *
 * Giving up privileges, once, before the policy is read: an operator's Lua never runs as
 * root.
 */
#include "process.h"

#include <errno.h>
#include <grp.h>
#include <malloc.h>
#include <pwd.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#define KEPT_BYTES (4 * 1024 * 1024)

static void stay_unreadable(void)
{
#ifndef __SANITIZE_ADDRESS__ /* its leak check at exit traces the process */
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
#endif
}

void process_harden(void)
{
    struct rlimit none = {0, 0};
    struct rlimit files;

    setrlimit(RLIMIT_CORE, &none);
    stay_unreadable();
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    signal(SIGPIPE, SIG_IGN);
}

void process_keep_memory(void)
{
    mallopt(M_MMAP_THRESHOLD, KEPT_BYTES);
    mallopt(M_TRIM_THRESHOLD, KEPT_BYTES);
    mallopt(M_TOP_PAD, KEPT_BYTES / 8);
}

static int keep_low_ports(struct error *error)
{
    static const cap_value_t low_ports = CAP_NET_BIND_SERVICE;
    cap_t wanted = cap_init();
    int status = -1;

    if (wanted && !cap_set_flag(wanted, CAP_PERMITTED, 1, &low_ports, CAP_SET) &&
        !cap_set_flag(wanted, CAP_EFFECTIVE, 1, &low_ports, CAP_SET))
        status = cap_set_proc(wanted);
    if (status)
        error_set_errno(error, ERROR_PERM, errno, "cannot keep the right to listen on low ports");
    if (wanted)
        cap_free(wanted);
    return status;
}

/* A process whose permitted set never held the capability (a container without it) runs
 * without low ports; that shows when a listener asks for one. */
static bool may_keep_low_ports(void)
{
    cap_t now = cap_get_proc();
    cap_flag_value_t has = CAP_CLEAR;

    if (now) {
        cap_get_flag(now, CAP_NET_BIND_SERVICE, CAP_PERMITTED, &has);
        cap_free(now);
    }
    return has == CAP_SET;
}

static int drop_to(const struct passwd *account, struct error *error)
{
    if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) || initgroups(account->pw_name, account->pw_gid) ||
        setresgid(account->pw_gid, account->pw_gid, account->pw_gid) ||
        setresuid(account->pw_uid, account->pw_uid, account->pw_uid))
        return error_set_errno(error, ERROR_PERM, errno, "cannot become user '%s'", account->pw_name);
    if (may_keep_low_ports() && keep_low_ports(error))
        return -1;
    /* changing ids made the process dumpable as the new user's; it stays shut */
    stay_unreadable();
    return 0;
}

int process_become(const char *user, struct error *error)
{
    const struct passwd *account;

    errno = 0;
    account = user ? getpwnam(user) : NULL;
    if (user && !account)
        return error_set(error, ERROR_PERM, "--user '%s': there is no such user", user);
    if (geteuid() != 0) {
        if (account && account->pw_uid != geteuid())
            return error_set(error, ERROR_PERM, "--user '%s': only root can become another user", user);
        return 0;
    }
    if (!account)
        return error_set(error, ERROR_PERM,
                         "started as root: say which user to become with --user NAME (a dedicated one is best)");
    if (account->pw_uid == 0)
        return error_set(error, ERROR_PERM, "--user '%s' is root: name an unprivileged user", user);
    return drop_to(account, error);
}
