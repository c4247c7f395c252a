/* SPDX-License-Identifier: Apache-2.0 */
/* The control plane's daemon: `cloched --config FILE` serves until SIGTERM, SIGHUP makes it read certificates and issuers anew; `cloched VERB --config FILE` is a command. Relying party. */
#include "server/cloched.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "server/api/http.h"
#include "server/crypto/keys.h"
#include "server/server_open.h"

#define GRACE_MS 10000u

static const struct {
    const char *name;
    cloched_verb_fn *run;
    const char *usage;
} verbs[] = {
    { "backup", cloched_backup, "FILE" },
    { "ca", cloched_ca, "" },
    { "check-config", cloched_check_config, "" },
    { "init", cloched_init, "--org NAME --user NAME [--email ADDRESS] --password-file FILE|-" },
    { "rekey", cloched_rekey, "--to passphrase:FILE|pkcs11:...|sealed" },
    { "restore", cloched_restore, "FILE" },
};

static int usage(void)
{
    fprintf(stderr, "usage: cloched --config FILE\n");
    for (unsigned i = 0; i < ARRAY_COUNT(verbs); i++)
        fprintf(stderr, "       cloched %s --config FILE %s\n", verbs[i].name, verbs[i].usage);
    fprintf(stderr, "       cloched routes\n");
    return EXIT_USAGE;
}

int cloched_fail(const char *verb, const struct err *err)
{
    fprintf(stderr, "cloched %s: %s\n", verb, err->text[0] ? err->text : "failed");
    return EXIT_FAILURE;
}

/* Keys and passwords are in this process's memory: what held them is wiped, it leaves no core, and nobody but root may look into it. */
static void harden(void)
{
    struct rlimit none = { 0, 0 };

    secret_libraries_wipe();
    setrlimit(RLIMIT_CORE, &none);
    prctl(PR_SET_DUMPABLE, 0);
}

/* Takes "--config FILE" out of the words. */
static const char *config_take(int *argc, char **argv)
{
    for (int i = 1; i + 1 < *argc; i++)
        if (strcmp(argv[i], "--config") == 0) {
            const char *path = argv[i + 1];

            memmove(&argv[i], &argv[i + 2], (size_t)(*argc - i - 1) * sizeof argv[0]);
            *argc -= 2;
            return path;
        }
    return NULL;
}

/* Whether the words begin with those of `allowed`, which single spaces part. */
static bool begins_with(char *const *words, int count, const char *allowed)
{
    for (int i = 0; *allowed; i++) {
        size_t len = strcspn(allowed, " ");

        if (i == count || strlen(words[i]) != len || memcmp(words[i], allowed, len) != 0)
            return false;
        allowed += len + (allowed[len] == ' ');
    }
    return true;
}

/* Where the configuration is measured and the command line is not, the words may come from somebody who is not trusted with all of them. */
static bool is_allowed(const struct server_config *config, int argc, char **argv)
{
    bool is_named = config->command_count == 0;

    for (unsigned i = 0; i < config->command_count; i++)
        is_named = is_named || begins_with(argv + 1, argc - 1, config->commands[i]);
    return is_named;
}

static int serve(const struct server_config *config, const char *config_path)
{
    struct server server;
    struct err err = { "" };
    sigset_t signals;
    int signal_number = 0;

    signal(SIGPIPE, SIG_IGN);
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    if (server_open(&server, config, &err) < 0) {
        server_log(&server, "error", "cannot start", "error", err.text, NULL);
        return EXIT_FAILURE;
    }
    server_log(&server, "info", "serving", "address", http_address(server.http), NULL);
    while (signal_number != SIGTERM && signal_number != SIGINT) {
        if (sigwait(&signals, &signal_number) != 0)
            break;
        if (signal_number == SIGHUP)
            server_reload(&server, config_path);
    }
    server_log(&server, "info", "ending", NULL);
    server_close(&server, GRACE_MS);
    server_log(&server, "info", "ended", NULL);
    return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
    const char *path = config_take(&argc, argv);
    struct server_config *config;
    struct err err = { "" };
    int status = -1;

    harden();
    if (!path && argc == 2 && strcmp(argv[1], "routes") == 0)
        return cloched_routes(NULL, 1, argv + 1);
    if (!path)
        return usage();
    if (config_read(path, &config, &err) < 0)
        return cloched_fail(argc > 1 ? argv[1] : "--config", &err);
    if (argc == 1)
        status = serve(config, path);
    if (argc > 1 && !is_allowed(config, argc, argv)) {
        err_set(&err, -EPERM, "%s does not allow it (`commands`)", path);
        config_free(config);
        return cloched_fail(argv[1], &err);
    }
    for (unsigned i = 0; status < 0 && i < ARRAY_COUNT(verbs); i++)
        if (strcmp(argv[1], verbs[i].name) == 0)
            status = verbs[i].run(config, argc - 1, argv + 1);
    config_free(config);
    return status < 0 ? usage() : status;
}
