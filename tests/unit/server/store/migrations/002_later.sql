-- SPDX-License-Identifier: Apache-2.0
-- A made-up next version of the schema, for test_upgrade.c: a column with a value from others, a new table that is filled, a table that goes.
ALTER TABLE orgs ADD COLUMN title TEXT;
UPDATE orgs SET title = 'The ' || name;
CREATE TABLE org_notes (org_id TEXT NOT NULL REFERENCES orgs(id), note BLOB NOT NULL, PRIMARY KEY (org_id, note));
INSERT INTO org_notes (org_id, note) SELECT id, roster_sha256 FROM orgs;
DROP TABLE stapled;
