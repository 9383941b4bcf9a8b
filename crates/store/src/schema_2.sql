-- What protocols have to find again, in their own form.
CREATE TABLE notes (
    shelf TEXT NOT NULL, key BLOB NOT NULL, value BLOB NOT NULL, PRIMARY KEY (shelf, key)
) WITHOUT ROWID;
