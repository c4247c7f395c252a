/* SPDX-License-Identifier: Apache-2.0 */
/* `cloche build`: from a container image to a sealed image. Relying party. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include <jansson.h>

#include "builder/seal.h"
#include "cli/builds.h"
#include "cli/commands.h"
#include "cli/pin.h"
#include "cli/push.h"
#include "client/contexts.h"
#include "lib/descriptor.h"

const char cmd_build_usage[] =
    "usage: cloche build [-f cloche.yaml] [--sign KEY] SOURCE -o IMAGE\n"
    "\n"
    "Seals a container image: the result runs in an enclave, and proves what it is.\n"
    "\n"
    "SOURCE is a folder or a tar with a root file system, an OCI image layout or a docker-archive\n"
    "(folder or tar), or what skopeo takes: docker://debian:12, docker-daemon:hotel:latest, ...\n"
    "IMAGE is an OCI image layout, a folder; or a tar, when its name ends in .tar, which\n"
    "`docker load` takes too.\n"
    "\n"
    "  -o, --output IMAGE   where to write\n"
    "  -f, --file FILE      cloche.yaml: entry point, environment, limits, what the host may set\n"
    "      --sign KEY       RSA-3072 key with exponent 3, PEM; else ~/.config/cloche/sign.pem,\n"
    "                       which is made on first use\n"
    "      --tag NAME       name of the image for `docker load` (NAME-sealed:latest)\n"
    "      --enclave FILE   another library OS than the one beside this program\n"
    "      --loader FILE    another loader\n"
    "      --server URL     https://host:port of the control plane that gives this image its\n"
    "                       certificate and secrets; up to 8 times\n"
    "      --server-ca PIN  SHA-256 of its CA root's key, 64 hexadecimal digits\n"
    "      --agent FILE     another agent: process 1 of the enclave\n"
    "      --push APP       then propose it as a build of the app (cloche app) at the control "
    "plane\n"
    "      --version TEXT   with --push: of the build; else the first characters of its digest\n"
    "      --context NAME   with --push: another server than the current one (cloche login)\n"
    "      --json           print the result as JSON\n"
    "  -q, --quiet          no progress, no result\n";

static int show_usage(void)
{
    fputs(cmd_build_usage, stdout);
    putchar('\n');
    command_help_print(&build_command, stdout);
    return CLI_EXIT_OK;
}

enum {
    OPTION_SIGN = 256,
    OPTION_TAG,
    OPTION_ENCLAVE,
    OPTION_LOADER,
    OPTION_AGENT,
    OPTION_PUSH,
    OPTION_VERSION,
    OPTION_CONTEXT,
    OPTION_JSON,
    OPTION_SERVER,
    OPTION_SERVER_CA
};

static const struct option g_options[] = {
    { "output", required_argument, NULL, 'o' },
    { "file", required_argument, NULL, 'f' },
    { "sign", required_argument, NULL, OPTION_SIGN },
    { "tag", required_argument, NULL, OPTION_TAG },
    { "enclave", required_argument, NULL, OPTION_ENCLAVE },
    { "loader", required_argument, NULL, OPTION_LOADER },
    { "agent", required_argument, NULL, OPTION_AGENT },
    { "push", required_argument, NULL, OPTION_PUSH },
    { "version", required_argument, NULL, OPTION_VERSION },
    { "context", required_argument, NULL, OPTION_CONTEXT },
    { "json", no_argument, NULL, OPTION_JSON },
    { "server", required_argument, NULL, OPTION_SERVER },
    { "server-ca", required_argument, NULL, OPTION_SERVER_CA },
    { "quiet", no_argument, NULL, 'q' },
    { "help", no_argument, NULL, 'h' },
    { 0 },
};

static void show_json(const struct seal_options *o, const struct seal_result *r)
{
    json_t *j =
        json_pack("{s:s,s:s,s:s,s:s,s:s,s:s+,s:s,s:b,s:I,s:I,s:I}", "image", o->output,
                  "app_digest", r->app_digest, "mrenclave", r->mrenclave, "mrsigner", r->mrsigner,
                  "verity_root", r->verity_root, "manifest_digest", "sha256:", r->manifest_digest,
                  "tag", r->tag, "debug", r->debug, "rootfs_size", (json_int_t)r->rootfs_size,
                  "image_size", (json_int_t)r->image_size, "file_count", (json_int_t)r->file_count);

    json_dumpf(j, stdout, JSON_INDENT(2));
    putchar('\n');
    json_decref(j);
}

static void show_result(const struct seal_options *o, const struct seal_result *r)
{
    char rootfs[32], image[32];

    printf("sealed      %s, %s (root file system: %s, %llu files)\n", o->output,
           cli_size_text(r->image_size, image, sizeof image),
           cli_size_text(r->rootfs_size, rootfs, sizeof rootfs), (unsigned long long)r->file_count);
    printf("app digest  %s\nmrenclave   %s\nmrsigner    %s\n", r->app_digest, r->mrenclave,
           r->mrsigner);
    printf("tag         %s\n", r->tag);
    if (r->debug)
        printf("DEBUG       the host can read this enclave's memory: never for production\n");
}

/* Those beside this program, unless others were named. */
static int programs_find(struct seal_options *o, struct err *err)
{
    static char enclave[4096], loader[4096], agent[4096], server_agent[4096];
    int rc = 0;

    if (!o->enclave) {
        rc = cli_program_path("cloche-enclave", enclave, sizeof enclave, err);
        o->enclave = enclave;
    }
    if (rc == 0 && !o->loader) {
        rc = cli_program_path("cloche-loader", loader, sizeof loader, err);
        o->loader = loader;
    }
    if (rc == 0 && !o->agent) {
        rc = cli_program_path("cloche-agent", agent, sizeof agent, err);
        o->agent = agent;
        if (rc == 0)
            rc = cli_program_path("cloche-agent-server", server_agent, sizeof server_agent, err);
        o->server_agent = server_agent;
    }
    return rc;
}

/* What is to become of the image at the control plane. */
struct proposal {
    const char *app, *version, *context; /* app NULL: nothing */
};

static int propose(const struct proposal *p, const char *image, bool quiet, bool json)
{
    struct cli_call call = { .command = &build_command,
                             .verb = &build_command.verbs[0],
                             .context = p->context };
    struct push push = { .app = p->app, .version = p->version, .image = image };
    struct remote r;
    json_t *build = NULL;
    int rc = remote_open(&r, &call), status = CLI_EXIT_OK;

    if (rc == 0)
        rc = push_build(&r, &push, &build);
    if (rc < 0)
        status = remote_fail(&r, rc);
    else if (!quiet || json)
        builds_pushed_print(build, json);
    json_decref(build);
    remote_done(&r);
    return status;
}

/*
 * The server that the image is proposed to is the one that it asks for its certificate and secrets, unless told otherwise. url: for o, while it is used.
 * returns: 0; -ENOENT no such context.
 */
static int server_default(struct seal_options *o, const struct proposal *p, struct err *err)
{
    static const char *urls[1];
    static char url[512], pin[65];
    const char *named;
    json_t *context;
    int rc = p->app && o->server_url_count == 0 && !o->server_ca
                 ? contexts_find(p->context, &context, err)
                 : 1;

    if (rc != 0)
        return MIN(rc, 0);
    named = json_string_value(json_object_get(context, "url"));
    if (named && strncmp(named, "https://", 8) == 0 && strlen(named) < sizeof url &&
        pin_of_pem(json_string_value(json_object_get(context, "ca")), pin)) {
        memcpy(url, named, strlen(named) + 1);
        urls[0] = url;
        o->server_urls = urls;
        o->server_url_count = 1;
        o->server_ca = pin;
        o->is_server_default = true;
    }
    json_decref(context);
    return 0;
}

static int build(struct seal_options *o, const struct proposal *proposal, bool quiet, bool json)
{
    struct seal_result result;
    struct err err = { 0 };
    int rc = programs_find(o, &err);

    if (rc == 0)
        rc = server_default(o, proposal, &err);
    if (rc == 0)
        rc = seal_image(o, &result, &err);
    if (rc < 0)
        return cli_fail(&err, rc);
    if (result.key_made)
        fprintf(stderr, "cloche: made a signing key, %s: keep it, it is the publisher's identity\n",
                result.key_path);
    if (json && !proposal->app)
        show_json(o, &result);
    else if (!quiet && !json)
        show_result(o, &result);
    return proposal->app ? propose(proposal, o->output, quiet, json) : CLI_EXIT_OK;
}

/* What is wrong, or NULL. */
static const char *options_check(const struct seal_options *o)
{
    if (!o->output || !o->output[0])
        return "-o IMAGE is missing";
    if (o->tag && (!o->tag[0] || strlen(o->tag) > 255))
        return "the tag is empty or too long";
    return NULL;
}

int cmd_build(int argc, char **argv)
{
    struct progress progress;
    const char *urls[DESCRIPTOR_URLS_MAX];
    struct seal_options o = { .progress = &progress, .server_urls = urls };
    struct proposal proposal = { 0 };
    bool quiet = false, json = false;
    const char *problem;
    int option;

    if (argc > 1 && builds_is_verb(argv[1]))
        return command_run(&build_command, argc, argv);
    while ((option = getopt_long(argc, argv, "o:f:qh", g_options, NULL)) != -1) {
        switch (option) {
        case 'o':
            o.output = optarg;
            break;
        case 'f':
            o.build_file = optarg;
            break;
        case OPTION_SIGN:
            o.sign_key = optarg;
            break;
        case OPTION_TAG:
            o.tag = optarg;
            break;
        case OPTION_ENCLAVE:
            o.enclave = optarg;
            break;
        case OPTION_LOADER:
            o.loader = optarg;
            break;
        case OPTION_AGENT:
            o.agent = optarg;
            break;
        case OPTION_PUSH:
            proposal.app = optarg;
            break;
        case OPTION_VERSION:
            proposal.version = optarg;
            break;
        case OPTION_CONTEXT:
            proposal.context = optarg;
            break;
        case OPTION_SERVER:
            if (o.server_url_count == DESCRIPTOR_URLS_MAX)
                return cli_usage("build", "more than 8 servers");
            urls[o.server_url_count++] = optarg;
            break;
        case OPTION_SERVER_CA:
            o.server_ca = optarg;
            break;
        case OPTION_JSON:
            json = true;
            break;
        case 'q':
            quiet = true;
            break;
        case 'h':
            return show_usage();
        default:
            return cli_usage("build", "unknown option");
        }
    }
    if (optind + 1 != argc)
        return cli_usage("build", optind == argc ? "SOURCE is missing" : "one SOURCE is expected");
    problem = options_check(&o);
    if (problem)
        return cli_usage("build", "%s", problem);
    o.source = argv[optind];
    progress_init(&progress, !quiet);
    return build(&o, &proposal, quiet, json);
}
