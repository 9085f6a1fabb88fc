/* SPDX-License-Identifier: Apache-2.0
 *
 * TOML to jansson values, by toml++ as Debian builds it: a shared library that throws. All
 * it throws, and what the standard library throws besides, is caught at the seam.
 */
#include <cstdio>
#include <exception>
#include <sstream>
#include <string>
#include <string_view>

#include <toml++/toml.h>

#include "data/toml.h"

namespace
{

void say(toml_fault *fault, const toml::source_region &where, std::string_view text)
{
    fault->line = static_cast<unsigned>(where.begin.line);
    fault->column = static_cast<unsigned>(where.begin.column);
    std::snprintf(fault->text, sizeof fault->text, "%.*s", static_cast<int>(text.size()), text.data());
}

json_t *convert(const toml::node &node, toml_fault *fault);

json_t *convert_table(const toml::table &table, toml_fault *fault)
{
    json_t *object = json_object();

    for (auto &&[key, value] : table) {
        json_t *item = convert(value, fault);
        std::string name{key.str()};

        if (!item || name.find('\0') != std::string::npos || json_object_set_new(object, name.c_str(), item)) {
            if (item && name.find('\0') != std::string::npos) {
                json_decref(item);
                say(fault, value.source(), "a key may not hold a NUL");
            }
            json_decref(object);
            return nullptr;
        }
    }
    return object;
}

json_t *convert_array(const toml::array &array, toml_fault *fault)
{
    json_t *list = json_array();

    for (auto &&value : array) {
        json_t *item = convert(value, fault);

        if (!item || json_array_append_new(list, item)) {
            json_decref(list);
            return nullptr;
        }
    }
    return list;
}

template <typename T> json_t *convert_time(const T &value)
{
    std::ostringstream text;

    text << value;
    return json_string(text.str().c_str());
}

json_t *convert_float(const toml::value<double> &value, toml_fault *fault)
{
    json_t *real = json_real(value.get());

    if (!real)
        say(fault, value.source(), "an infinite number, or one that is none, cannot be used");
    return real;
}

json_t *convert(const toml::node &node, toml_fault *fault)
{
    switch (node.type()) {
    case toml::node_type::table:
        return convert_table(*node.as_table(), fault);
    case toml::node_type::array:
        return convert_array(*node.as_array(), fault);
    case toml::node_type::string: {
        const std::string &text = node.as_string()->get();
        return json_stringn(text.data(), text.size());
    }
    case toml::node_type::integer:
        return json_integer(node.as_integer()->get());
    case toml::node_type::floating_point:
        return convert_float(*node.as_floating_point(), fault);
    case toml::node_type::boolean:
        return json_boolean(node.as_boolean()->get());
    case toml::node_type::date:
        return convert_time(node.as_date()->get());
    case toml::node_type::time:
        return convert_time(node.as_time()->get());
    case toml::node_type::date_time:
        return convert_time(node.as_date_time()->get());
    case toml::node_type::none:
        break;
    }
    say(fault, node.source(), "a value of no known type");
    return nullptr;
}

json_t *place_of(const toml::node &node)
{
    const auto &begin = node.source().begin;
    json_int_t column = begin.column < TOML_PLACE_COLUMN_MOST ? begin.column : TOML_PLACE_COLUMN_MOST;
    json_t *place = json_object();
    json_t *inner = nullptr;

    if (const toml::table *table = node.as_table()) {
        inner = json_object();
        for (auto &&[key, value] : *table)
            json_object_set_new(inner, std::string{key.str()}.c_str(), place_of(value));
    } else if (const toml::array *array = node.as_array()) {
        inner = json_array();
        for (auto &&value : *array)
            json_array_append_new(inner, place_of(value));
    }
    json_object_set_new(place, "at",
                        json_integer((static_cast<json_int_t>(begin.line) << TOML_PLACE_LINE_SHIFT) | column));
    if (inner)
        json_object_set_new(place, "in", inner);
    return place;
}

json_t *read(std::string_view text, json_t **places_out, toml_fault *fault)
{
    try {
        toml::table table = toml::parse(text);
        json_t *value = convert_table(table, fault);

        if (value && places_out)
            *places_out = place_of(table);
        return value;
    } catch (const toml::parse_error &problem) {
        say(fault, problem.source(), problem.description());
        return nullptr;
    }
}

} // namespace

json_t *toml_read(const char *text, size_t len, struct toml_fault *fault_out)
{
    return toml_read_with_places(text, len, nullptr, fault_out);
}

json_t *toml_read_with_places(const char *text, size_t len, json_t **places_out, struct toml_fault *fault_out)
{
    *fault_out = {};
    try {
        json_t *value = read(std::string_view{text, len}, places_out, fault_out);

        if (!value && !fault_out->text[0])
            std::snprintf(fault_out->text, sizeof fault_out->text, "it cannot be held in memory");
        return value;
    } catch (const std::exception &problem) {
        std::snprintf(fault_out->text, sizeof fault_out->text, "%s", problem.what());
    } catch (...) {
        std::snprintf(fault_out->text, sizeof fault_out->text, "it cannot be read");
    }
    return nullptr;
}
