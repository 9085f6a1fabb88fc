/* SPDX-License-Identifier: Apache-2.0
 *
 * One question to the daemon's HTTP listener. Answers have a ceiling and a time limit: what
 * listens there may be something else altogether.
 */
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/secret.h"
#include "ctl/ctl.h"

#define DEFAULT_ENDPOINT "http://127.0.0.1:8000"
#define ANSWER_BYTES ((size_t)64 << 20)
#define CONNECT_SECONDS 5L
#define TOTAL_SECONDS 30L

const char *ctl_endpoint(const char *option)
{
    const char *from_environment = getenv("GATEPOST_ENDPOINT");

    if (option)
        return option;
    return from_environment && *from_environment ? from_environment : DEFAULT_ENDPOINT;
}

static size_t on_data(char *data, size_t size, size_t count, void *ctx)
{
    return buf_append(ctx, data, size * count) == 0 ? size * count : 0;
}

static CURL *prepare(const char *url, struct buf *body)
{
    CURL *curl = curl_easy_init();

    if (!curl)
        return NULL;
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_PROXY, ""); /* a daemon is asked directly */
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, CONNECT_SECONDS);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT, TOTAL_SECONDS);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "gatectl/" GATEPOST_VERSION);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_data);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, body);
    return curl;
}

static int fetch(const char *url, const char *text, struct buf *body, long *status_out, struct error *error)
{
    CURL *curl = prepare(url, body);
    struct curl_slist *headers = text ? curl_slist_append(NULL, "Content-Type: application/json") : NULL;
    CURLcode code;

    if (curl && text) {
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, text);
        curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    }
    code = curl ? curl_easy_perform(curl) : CURLE_FAILED_INIT;
    if (code == CURLE_OK)
        curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, status_out);
    curl_easy_cleanup(curl);
    curl_slist_free_all(headers);
    return code == CURLE_OK ? 0 : error_set(error, ERROR_TEMP, "%s", curl_easy_strerror(code));
}

/* `text` NULL: GET. */
static json_t *ask(const char *endpoint, const char *path, const char *text, long *status_out, struct error *error)
{
    size_t len = strlen(endpoint);
    char *url = mem_printf("%.*s%s", (int)(len > 0 && endpoint[len - 1] == '/' ? len - 1 : len), endpoint, path);
    json_t *answer = NULL;
    long status = 0;
    struct buf body;

    buf_init(&body, ANSWER_BYTES);
    if (fetch(url, text, &body, &status, error) == 0) {
        answer = json_loadb(buf_span(&body).data, buf_len(&body), 0, NULL);
        if (!answer)
            error_set(error, ERROR_PERM, "answered %ld without JSON: is this Gatepost's HTTP listener?", status);
    }
    if (answer)
        *status_out = status;
    else
        error_prefix(error, "%s", endpoint);
    buf_done(&body);
    free(url);
    return answer;
}

json_t *ctl_fetch(const char *endpoint, const char *path, const json_t *body, long *status_out, struct error *error)
{
    char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
    json_t *answer = ask(endpoint, path, text, status_out, error);

    secret_free(text);
    return answer;
}

char *ctl_query(const char *path, const char *key, const char *value)
{
    char *escaped = value ? curl_easy_escape(NULL, value, 0) : NULL;
    char *query = value ? mem_printf("%s?%s=%s", path, key, escaped ? escaped : "") : mem_strdup(path);

    curl_free(escaped);
    return query;
}

bool ctl_ask(const char *endpoint, const char *path, const json_t *question, bool as_json, json_t **answer_out,
             int *code_out)
{
    const char *where = ctl_endpoint(endpoint), *why;
    struct error error;
    long http = 0;
    json_t *answer = ctl_fetch(where, path, question, &http, &error);

    *answer_out = answer;
    *code_out = answer && http == 200 ? CTL_OK : CTL_FAILED;
    why = json_string_value(json_object_get(answer, "error"));
    if (!answer)
        ctl_complain("%s", error.sentence);
    else if (http != 200)
        ctl_complain("%s: %s", where, why ? why : "no answer");
    else if (!as_json)
        return true;
    else
        ctl_print_json(answer);
    return false;
}

void ctl_tell_local(const json_t *answer)
{
    if (json_is_true(json_object_get(answer, "is_local")))
        puts("(Redis does not answer: this is what this node counted by itself)");
}
