/* SPDX-License-Identifier: Apache-2.0 */
/* URLs of items and of redirects, taken apart by libcurl. Relying party; redirects are hostile. */
#include "collateral/url.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include <curl/curl.h>

#include "collateral/item.h"

#define PCS_URL "https://api.trustedservices.intel.com"
#define KDS_URL "https://kdsintf.amd.com"
#define ROOT_CRL_URL "https://certificates.trustedservices.intel.com/IntelSGXRootCA.der"

static void free_urlp(CURLU **url)
{
    curl_url_cleanup(*url);
}

static void free_textp(char **text)
{
    curl_free(*text);
}

static bool has_part(CURLU *url, CURLUPart part)
{
    CLEANUP(free_textp)
    char *text = NULL;

    return curl_url_get(url, part, &text, 0) == CURLUE_OK;
}

static bool scheme_is(CURLU *url, const char *scheme)
{
    CLEANUP(free_textp)
    char *text = NULL;

    return curl_url_get(url, CURLUPART_SCHEME, &text, 0) == CURLUE_OK &&
           strcasecmp(text, scheme) == 0;
}

static bool scheme_fits(const struct url_config *config, CURLU *url)
{
    return scheme_is(url, "https") || (config->http_allowed && scheme_is(url, "http"));
}

static int take_url(const struct url_config *config, const char *text, char *dst, size_t size,
                    struct err *err)
{
    CLEANUP(free_urlp)
    CURLU *url = curl_url();
    size_t len = strlen(text);

    if (!url)
        return err_set_errno(err, -ENOMEM, "%s", text);
    if (len + 1 > size || curl_url_set(url, CURLUPART_URL, text, 0) != CURLUE_OK)
        return err_set(err, -EINVAL, "%s is no URL; write it as https://HOST[:PORT][/PATH]", text);
    if (has_part(url, CURLUPART_USER) || has_part(url, CURLUPART_PASSWORD))
        return err_set(err, -EINVAL,
                       "a URL with a user's name or password is not taken: it would be "
                       "kept in the cache");
    if (has_part(url, CURLUPART_QUERY) || has_part(url, CURLUPART_FRAGMENT))
        return err_set(err, -EINVAL, "%s: leave out what starts with ? or #", text);
    if (!scheme_fits(config, url))
        return err_set(err, -EINVAL, "%s is not https; --allow-http takes it all the same", text);
    while (len && text[len - 1] == '/')
        len--;
    memcpy(dst, text, len);
    dst[len] = 0;
    return 0;
}

int url_config_init(struct url_config *config, const struct collateral_options *options,
                    struct err *err)
{
    int rc;

    *config = (struct url_config){ .http_allowed = options->http_allowed,
                                   .redirects_allowed = options->redirects_allowed };
    rc = take_url(config, options->pcs_url ? options->pcs_url : PCS_URL, config->pcs,
                  sizeof config->pcs, err);
    if (rc == 0)
        rc = take_url(config, options->kds_url ? options->kds_url : KDS_URL, config->kds,
                      sizeof config->kds, err);
    if (rc == 0 && options->root_crl_url)
        rc =
            take_url(config, options->root_crl_url, config->root_crl, sizeof config->root_crl, err);
    else if (rc == 0 && options->pcs_is_pccs)
        snprintf(config->root_crl, sizeof config->root_crl, "%s/sgx/certification/v4/rootcacrl",
                 config->pcs);
    else if (rc == 0)
        snprintf(config->root_crl, sizeof config->root_crl, "%s", ROOT_CRL_URL);
    return rc;
}

static int print_vcek(const struct url_config *config, const struct collateral_item_id *id,
                      const char *product, char dst[COLLATERAL_SOURCE_SIZE])
{
    const struct verifier_snp_tcb *tcb = &id->tcb;
    char chip[129], fmc[32] = "";

    item_hex(id->chip_id, item_chip_id_size(id->product), chip);
    if (id->product == VERIFIER_SNP_TURIN)
        snprintf(fmc, sizeof fmc, "fmcSPL=%02u&", tcb->fmc);
    return snprintf(dst, COLLATERAL_SOURCE_SIZE,
                    "%s/vcek/v1/%s/%s?%sblSPL=%02u&teeSPL=%02u&snpSPL=%02u&ucodeSPL=%02u",
                    config->kds, product, chip, fmc, tcb->bootloader, tcb->tee, tcb->snp,
                    tcb->microcode);
}

char *url_of_item(const struct url_config *config, const struct collateral_item_id *id,
                  char dst[COLLATERAL_SOURCE_SIZE])
{
    const char *update = id->is_early ? "early" : "standard", *name;
    const char *tee = id->kind == COLLATERAL_TDX_TCB || id->kind == COLLATERAL_TDX_QE_IDENTITY ||
                              id->kind == COLLATERAL_TDX_EVALUATIONS
                          ? "tdx"
                          : "sgx";
    char fmspc[13], product[16] = "";

    item_hex(id->fmspc, sizeof id->fmspc, fmspc);
    for (unsigned i = 0; fmspc[i]; i++)
        fmspc[i] = (char)toupper((unsigned char)fmspc[i]);
    name = item_product_name(id->product);
    if (name)
        snprintf(product, sizeof product, "%c%s", toupper((unsigned char)name[0]), name + 1);
    switch (id->kind) {
    case COLLATERAL_SGX_TCB:
    case COLLATERAL_TDX_TCB:
        snprintf(dst, COLLATERAL_SOURCE_SIZE, "%s/%s/certification/v4/tcb?fmspc=%s&update=%s",
                 config->pcs, tee, fmspc, update);
        break;
    case COLLATERAL_SGX_QE_IDENTITY:
    case COLLATERAL_TDX_QE_IDENTITY:
        snprintf(dst, COLLATERAL_SOURCE_SIZE, "%s/%s/certification/v4/qe/identity?update=%s",
                 config->pcs, tee, update);
        break;
    case COLLATERAL_SGX_EVALUATIONS:
    case COLLATERAL_TDX_EVALUATIONS:
        snprintf(dst, COLLATERAL_SOURCE_SIZE, "%s/%s/certification/v4/tcbevaluationdatanumbers",
                 config->pcs, tee);
        break;
    case COLLATERAL_PCK_CRL:
        snprintf(dst, COLLATERAL_SOURCE_SIZE, "%s/sgx/certification/v4/pckcrl?ca=%s&encoding=der",
                 config->pcs, id->is_platform_ca ? "platform" : "processor");
        break;
    case COLLATERAL_INTEL_ROOT_CRL:
        snprintf(dst, COLLATERAL_SOURCE_SIZE, "%s", config->root_crl);
        break;
    case COLLATERAL_VCEK:
        print_vcek(config, id, product, dst);
        break;
    default:
        snprintf(dst, COLLATERAL_SOURCE_SIZE, "%s/%s/v1/%s/%s", config->kds,
                 id->is_vlek ? "vlek" : "vcek", product,
                 id->kind == COLLATERAL_AMD_CHAIN ? "cert_chain" : "crl");
    }
    return dst;
}

const char *const *url_chain_names(const struct collateral_item_id *id)
{
    static const char *const tcb[] = { "TCB-Info-Issuer-Chain", "SGX-TCB-Info-Issuer-Chain", NULL };
    static const char *const identity[] = { "SGX-Enclave-Identity-Issuer-Chain", NULL };
    static const char *const evaluations[] = { "TCB-Evaluation-Data-Numbers-Issuer-Chain", NULL };
    static const char *const crl[] = { "SGX-PCK-CRL-Issuer-Chain", NULL };

    switch (id->kind) {
    case COLLATERAL_SGX_TCB:
    case COLLATERAL_TDX_TCB:
        return tcb;
    case COLLATERAL_SGX_QE_IDENTITY:
    case COLLATERAL_TDX_QE_IDENTITY:
        return identity;
    case COLLATERAL_SGX_EVALUATIONS:
    case COLLATERAL_TDX_EVALUATIONS:
        return evaluations;
    case COLLATERAL_PCK_CRL:
        return crl;
    default:
        return NULL;
    }
}

static bool part_is_same(CURLU *a, CURLU *b, CURLUPart part)
{
    CLEANUP(free_textp)
    char *text_a = NULL;
    CLEANUP(free_textp)
    char *text_b = NULL;

    return curl_url_get(a, part, &text_a, CURLU_DEFAULT_PORT) == CURLUE_OK &&
           curl_url_get(b, part, &text_b, CURLU_DEFAULT_PORT) == CURLUE_OK &&
           strcasecmp(text_a, text_b) == 0;
}

int url_redirect(const struct url_config *config, const char *url, const char *location,
                 char ret[COLLATERAL_SOURCE_SIZE])
{
    CLEANUP(free_urlp)
    CURLU *from = curl_url();
    CLEANUP(free_urlp)
    CURLU *to = curl_url();
    CLEANUP(free_textp)
    char *text = NULL;
    bool is_same;

    if (!from || !to)
        return -EINVAL;
    if (curl_url_set(from, CURLUPART_URL, url, 0) != CURLUE_OK ||
        curl_url_set(to, CURLUPART_URL, url, 0) != CURLUE_OK || location[0] == 0 ||
        curl_url_set(to, CURLUPART_URL, location, 0) != CURLUE_OK ||
        curl_url_get(to, CURLUPART_URL, &text, 0) != CURLUE_OK ||
        strlen(text) >= COLLATERAL_SOURCE_SIZE)
        return -EINVAL;
    is_same = part_is_same(from, to, CURLUPART_SCHEME) && part_is_same(from, to, CURLUPART_HOST) &&
              part_is_same(from, to, CURLUPART_PORT);
    if (has_part(to, CURLUPART_USER) || has_part(to, CURLUPART_PASSWORD) ||
        !(is_same || (config->redirects_allowed && scheme_fits(config, to))) ||
        (scheme_is(from, "https") && !scheme_is(to, "https")))
        return -EACCES;
    memcpy(ret, text, strlen(text) + 1);
    return 0;
}
