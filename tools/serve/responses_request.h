/* tools/serve/responses_request.h - rewrites a request of OpenAI's responses API as one of chat completions. */
#ifndef TOOLS_SERVE_RESPONSES_REQUEST_H
#define TOOLS_SERVE_RESPONSES_REQUEST_H

#include "tools/serve/json_reader.h"
#include "tools/serve/json_writer.h"
#include "tools/serve/refusal.h"

bool cm_convert_response_request(struct json_writer *writer, const struct sent_value *body, struct refusal *refusal);

#endif
