/* SPDX-License-Identifier: Apache-2.0
 *
 * gatectl passwd: makes the stored form of a password, tries one, or puts one into a passwd-file. The password is
 * never an argument: those are for everybody to see.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#include "base/secret.h"
#include "ctl/ask_password.h"
#include "ctl/ctl.h"
#include "ctl/user_file.h"
#include "password/password.h"

static const struct option options[] = {
    {"scheme", required_argument, NULL, 's'}, {"memory", required_argument, NULL, 'm'},
    {"rounds", required_argument, NULL, 'r'}, {"parallelism", required_argument, NULL, 'p'},
    {"beside", required_argument, NULL, 'b'}, {"verify", required_argument, NULL, 'v'},
    {"file", required_argument, NULL, 'f'},   {"user", required_argument, NULL, 'u'},
    {"help", no_argument, NULL, 'h'},         {NULL, 0, NULL, 0},
};

struct wish {
    enum password_scheme scheme;
    struct password_cost cost;
    const char *verify; /* a stored form */
    const char *beside; /* likewise, of SCRAM */
    const char *file, *user;
};

/* ---- doing it ---- */

static int verify(struct span password, const char *stored)
{
    struct error error;

    if (password_check(stored, &error)) {
        ctl_complain("%s", error.sentence);
        return CTL_USAGE;
    }
    switch (password_verify(password, stored)) {
    case PASSWORD_MATCHES:
        puts("the password matches");
        return CTL_OK;
    case PASSWORD_DIFFERS:
        puts("the password does not match");
        return CTL_FAILED;
    default:
        ctl_complain("the stored password cannot be computed with the parameters it has");
        return CTL_FAILED;
    }
}

static int keep(const struct wish *wish, struct span stored)
{
    struct error error;
    bool was_there;

    if (user_file_set(wish->file, wish->user, stored, &was_there, &error)) {
        ctl_complain("%s", error.sentence);
        return CTL_FAILED;
    }
    printf("%s: ", wish->file);
    ctl_print_safe(wish->user);
    puts(was_there ? " has a new password" : " is added");
    return CTL_OK;
}

static int give_out(const struct wish *wish, struct span stored)
{
    if (wish->file)
        return keep(wish, stored);
    printf("%.*s\n", SPAN_ARG(stored));
    return CTL_OK;
}

static int hash(const struct wish *wish, struct span password)
{
    struct error error;
    struct buf stored;
    int result;

    buf_init(&stored, PASSWORD_STORED_LIMIT);
    if (wish->beside ? password_hash_beside(wish->beside, password, &stored, &error)
                     : password_hash(wish->scheme, &wish->cost, password, &stored, &error)) {
        ctl_complain("%s", error.sentence);
        result = CTL_FAILED;
    } else {
        result = give_out(wish, buf_span(&stored));
    }
    if (stored.data)
        secret_wipe(stored.data, stored.capacity);
    buf_done(&stored);
    return result;
}

static int fulfil(const struct wish *wish)
{
    struct error error;
    char *password;
    int result;

    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0); /* no core file with a password in it */
    password = ask_password(!wish->verify, &error);
    if (!password) {
        ctl_complain("%s", error.sentence);
        return CTL_FAILED;
    }
    result = wish->verify ? verify(span_of(password), wish->verify) : hash(wish, span_of(password));
    secret_free(password);
    return result;
}

/* ---- the command line ---- */

static int take_count(const char *name, uint32_t *count_out)
{
    uint64_t count;

    if (span_to_u64(span_of(optarg), &count) || count < 1 || count > UINT32_MAX) {
        ctl_complain("--%s takes a number from 1 on", name);
        return -1;
    }
    *count_out = (uint32_t)count;
    return 0;
}

static int take_scheme(struct wish *wish)
{
    wish->scheme = password_scheme_find(span_of(optarg));
    if (wish->scheme < PASSWORD_SCHEME_COUNT)
        return 0;
    ctl_complain("there is no scheme of this name; 'gatectl passwd --help' lists them");
    return -1;
}

static int take_option(int option, struct wish *wish)
{
    switch (option) {
    case 's':
        return take_scheme(wish);
    case 'm':
        return take_count("memory", &wish->cost.memory_kib);
    case 'r':
        return take_count("rounds", &wish->cost.rounds);
    case 'p':
        return take_count("parallelism", &wish->cost.parallelism);
    case 'b':
        wish->beside = optarg;
        return 0;
    case 'v':
        wish->verify = optarg;
        return 0;
    case 'f':
        wish->file = optarg;
        return 0;
    default:
        wish->user = optarg;
        return 0;
    }
}

static bool is_sensible(const struct wish *wish)
{
    struct error error;

    if (!wish->file != !wish->user) {
        ctl_complain("--file and --user go together");
        return false;
    }
    if (wish->beside && wish->verify) {
        ctl_complain("--verify makes nothing that could stand --beside another");
        return false;
    }
    if (wish->file && wish->verify) {
        ctl_complain("--verify changes no file");
        return false;
    }
    if (wish->user && user_file_check_name(wish->user, &error)) {
        ctl_complain("%s", error.sentence);
        return false;
    }
    return true;
}

static int run(int argc, char **argv)
{
    struct wish wish = {.scheme = PASSWORD_ARGON2ID};
    int option;

    while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        if (option == 'h' || option == '?')
            return ctl_other_option(option, &ctl_passwd);
        if (take_option(option, &wish))
            return CTL_USAGE;
    }
    if (optind < argc) {
        ctl_complain("a password is not taken from the command line: it is asked for, or read from stdin");
        return CTL_USAGE;
    }
    return is_sensible(&wish) ? fulfil(&wish) : CTL_USAGE;
}

const struct ctl_command ctl_passwd = {
    .name = "passwd",
    .summary = "make, try or keep the stored form of a password",
    .usage = "usage: gatectl passwd [--scheme NAME] [--memory KIB] [--rounds N] [--parallelism N]\n"
             "                      [--file FILE --user NAME]\n"
             "       gatectl passwd --beside STORED\n"
             "       gatectl passwd --verify STORED\n\n"
             "Asks for a password twice, or reads it as the first line of stdin when that is no terminal.\n\n"
             "  --scheme NAME    argon2id (default), argon2i, bcrypt, yescrypt, scrypt, sha512-crypt, sha256-crypt,\n"
             "                   pbkdf2-sha256, pbkdf2-sha512, pbkdf2-sha1, scram-sha-256, scram-sha-1, plain\n"
             "  --memory KIB     argon2 and scrypt: what hashing takes of memory\n"
             "  --rounds N       passes (argon2), logarithm (bcrypt), 1 to 11 (yescrypt), rounds or iterations\n"
             "  --parallelism N  argon2 and scrypt\n"
             "  --file FILE      puts it into this passwd-file instead of printing it\n"
             "  --user NAME      the user there, who is added if need be\n"
             "  --beside STORED  keys of SCRAM that share the salt of these, so that a user may have both at once\n"
             "  --verify STORED  only tells whether the password matches: exit status 0 or 1\n",
    .run = run,
};
