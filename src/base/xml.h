/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A small XML document as a tree, for descriptions of machines and disks.  Names are local:
 * `ovf:Item` is "Item".  A document type, and so an entity of its own, is refused; depth, elements
 * and text are bounded.
 */
#ifndef WIRT_BASE_XML_H
#define WIRT_BASE_XML_H

#include "base/err.h"
#include "base/types.h"

struct xml_attr {
    const char *name, *value;
    struct xml_attr *next;
};

struct xml {
    const char *name;
    const char *text; /* directly in it, blanks around it taken off; never NULL */
    unsigned line;
    struct xml_attr *attr;
    struct xml *parent, *child, *next;
};

struct xml_doc;

/* What a document may have at most.  A text may have 1 MiB. */
struct xml_bounds {
    unsigned depth; /* up to 64 */
    unsigned elements;
};

/* UTF-8, UTF-16 or Latin-1.  -EINVAL with a line that names the line but not the file.  most NULL:
 * 64 deep, 200,000 elements. */
int xml_parse(struct xml_doc **doc, const char *text, size_t len, const struct xml_bounds *most,
              struct err *e);
const struct xml *xml_root(const struct xml_doc *doc);
void xml_free(struct xml_doc *doc); /* NULL is fine */

/* The first child of that name, or the next of that name behind it; NULL = none.  x may be NULL. */
const struct xml *xml_child(const struct xml *x, const char *name);
const struct xml *xml_next(const struct xml *x);
/* Down a path "a/b/c". */
const struct xml *xml_at(const struct xml *x, const char *path);
/* Any element of that name in the tree below x, in the document's order, behind `after` (NULL = the
 * first). */
const struct xml *xml_find(const struct xml *x, const struct xml *after, const char *name);
/* Of an attribute, of an element's text: NULL = not there. */
const char *xml_get(const struct xml *x, const char *attribute);
const char *xml_text(const struct xml *x, const char *path);

#endif
