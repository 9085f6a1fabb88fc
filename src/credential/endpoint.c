/* SPDX-License-Identifier: Apache-2.0
 *
 * See endpoint.h.
 */
#include "credential/endpoint.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "http/url.h"
#include "log/diag.h"

#define LIMIT_MS 5000
#define LIMIT_LEAST_MS 1
#define LIMIT_MOST_MS 60000

void endpoint_check_plain(struct settings *settings, const char *key, const char *url, bool is_secure)
{
    bool allow_plain = settings_flag(settings, "allow_plain", false);

    if (is_secure || url_is_loopback(url))
        return;
    if (allow_plain)
        diag(DIAG_WARN, NULL, "%s: passwords and secrets travel there in clear (allow_plain)",
             settings_where(settings, key));
    else
        settings_fault(settings, key,
                       "would send secrets in clear to another machine: use TLS, or say allow_plain = true");
}

void endpoint_check_file(struct settings *settings, const char *key, const char *path)
{
    if (path && access(path, R_OK))
        settings_fault(settings, key, "cannot read %s: %s", path, strerror(errno));
}

void endpoint_check(struct settings *settings, const char *key, const char *url, const char *ca_file, bool is_base)
{
    struct error error;

    if (is_base ? url_check_base(url, &error) : url_check(url, &error))
        settings_fault(settings, key, "%s", error.sentence);
    endpoint_check_plain(settings, key, url, url_is_https(url));
    endpoint_check_file(settings, "ca_file", ca_file);
}

uint64_t endpoint_limit_ms(struct settings *settings)
{
    return settings_duration_ms(settings, "timeout", LIMIT_MS, LIMIT_LEAST_MS, LIMIT_MOST_MS);
}
