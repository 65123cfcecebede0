/* SPDX-License-Identifier: Apache-2.0 */
/* store_rows - what the files of the store share: documents and lists of names out of rows. */
#pragma once

#include "controlplane/store.h"

struct store {
	struct db *db; /* owned */
};

/* A document as it is stored: free() it. NULL when out of memory. */
char *store_text(const json_t *doc);

/* Row callback: the document of the first row into a json_t * that is NULL so far. */
int store_on_doc(sqlite3_stmt *row, void *userdata, struct err *err);

/* What a query with store_on_doc() comes to: @k is its result, @doc what it found, taken. */
int store_found(int k, json_t *doc, json_t **ret);

/* Row callback: appends the text of the row to a json_t array. */
int store_on_text(sqlite3_stmt *row, void *userdata, struct err *err);

/* What a query with store_on_text() comes to; @list is taken. */
int store_listed(int k, json_t *list, json_t **ret);

struct store_each {
	store_doc_fn fn;
	void *userdata;
};

/* Row callback: hands each document to a struct store_each. */
int store_on_each(sqlite3_stmt *row, void *userdata, struct err *err);
