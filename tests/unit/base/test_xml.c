/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The tree of a small XML document, and its bounds.
 */
#include "base/xml.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct xml_doc *parse(const char *text)
{
    struct xml_doc *doc;
    struct err e = {0};

    if (xml_parse(&doc, text, strlen(text), NULL, &e))
        fail_msg("%s", e.msg);
    return doc;
}

static void refused(const char *text, const struct xml_bounds *most, const char *words)
{
    struct xml_doc *doc;
    struct err e = {0};

    assert_int_equal(xml_parse(&doc, text, strlen(text), most, &e), -EINVAL);
    assert_null(doc);
    if (!strstr(e.msg, words))
        fail_msg("%s", e.msg);
}

static void test_tree(void **state)
{
    struct xml_doc *doc = parse("<?xml version='1.0'?>\n<a x:b=' 1 '>\n <n:c> one <d/>two </n:c>"
                                "<e><c>three</c></e><c/>\n</a>");
    const struct xml *a = xml_root(doc), *c = xml_child(a, "c");

    assert_string_equal(a->name, "a");
    assert_string_equal(a->text, "");
    assert_int_equal(a->line, 2);
    assert_string_equal(xml_get(a, "b"), " 1 ");
    assert_null(xml_get(a, "c"));
    assert_null(xml_get(NULL, "c"));
    assert_string_equal(c->text, "one two");
    assert_string_equal(c->child->name, "d");
    assert_ptr_equal(c->parent, a);
    assert_string_equal(xml_next(c)->text, "");
    assert_null(xml_next(xml_next(c)));
    assert_string_equal(xml_text(a, "e/c"), "three");
    assert_null(xml_text(a, "e/d"));
    assert_ptr_equal(xml_find(a, NULL, "c"), c);
    assert_ptr_equal(xml_find(a, c, "c"), xml_at(a, "e/c"));
    assert_null(xml_find(c, NULL, "c"));
    xml_free(doc);
}

static void test_encodings(void **state)
{
    static const char wide[] = "\xff\xfe<\0a\0>\0\xe4\0<\0/\0a\0>\0";
    struct xml_doc *doc = parse("<?xml version='1.0' encoding='ISO-8859-1'?><a>\xe4</a>");

    assert_string_equal(xml_root(doc)->text, "\xc3\xa4");
    xml_free(doc);
    assert_int_equal(xml_parse(&doc, wide, sizeof(wide) - 1, NULL, NULL), 0);
    assert_string_equal(xml_root(doc)->text, "\xc3\xa4");
    xml_free(doc);
    xml_free(NULL);
}

static void test_refused(void **state)
{
    refused("", NULL, "line 1: no element found");
    refused("<a>\n<b></a>", NULL, "line 2: mismatched tag");
    refused("<a/><b/>", NULL, "junk after document element");
    refused("<a>\xff</a>", NULL, "not well-formed");
    refused("<!DOCTYPE a [<!ENTITY x 'y'>]><a>&x;</a>", NULL, "line 1: a document type");
    refused("<!DOCTYPE a SYSTEM '/etc/passwd'>\n<a/>", NULL, "a document type");
    refused("<a>&x;</a>", NULL, "undefined entity");
}

/* n elements in each other, or n in a row in one, or a text of n bytes. */
static char *make(const char *piece, unsigned n, const char *tail)
{
    char *s = malloc(strlen(piece) * n + 16);

    strcpy(s, "<r>");
    for (char *p = s + 3; n--; p += strlen(piece))
        strcpy(p, piece);
    return strcat(s, tail);
}

static void refused_many(const char *piece, unsigned n, const struct xml_bounds *most,
                         const char *words)
{
    char *s = make(piece, n, "");

    refused(s, most, words);
    free(s);
}

static void test_bounds(void **state)
{
    static const struct xml_bounds most = {.depth = 4, .elements = 10};
    struct xml_doc *doc;
    char *s;

    refused_many("<a>", 63, NULL, "no element found");
    refused_many("<a>", 64, NULL, "nested too deeply");
    refused_many("<a/>", 199999, NULL, "no element found");
    refused_many("<a/>", 200000, NULL, "too many");
    refused_many("x", 1 << 20, NULL, "no element found");
    refused_many("x", (1 << 20) + 1, NULL, "more than 1048576 bytes");
    refused_many("<a>", 3, &most, "no element found");
    refused_many("<a>", 4, &most, "nested too deeply");
    refused_many("<a/>", 10, &most, "too many");
    s = make("<a/>", 9, "</r>");
    assert_int_equal(xml_parse(&doc, s, strlen(s), &most, NULL), 0);
    xml_free(doc);
    free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tree),
        cmocka_unit_test(test_encodings),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_bounds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
