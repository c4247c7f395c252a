-- SPDX-License-Identifier: Apache-2.0
-- The first schema. Times are milliseconds since 1970 (`_ms`), ids are text (server/store/id.h), JSON is text. BLOB is BYTEA on PostgreSQL. Comments say what a column
-- holds that its name does not. `mac`: keys_mac over the row's deciding columns; a row without a right one is treated as not there, and reported.

-- ---- the server itself ----
CREATE TABLE settings (name TEXT PRIMARY KEY, value BLOB NOT NULL);
CREATE TABLE wrapped_keys (org_id TEXT NOT NULL, purpose TEXT NOT NULL, sealed BLOB NOT NULL, created_ms BIGINT NOT NULL,
    PRIMARY KEY (org_id, purpose)); -- org_id '': the server's

-- ---- organisations, people, tokens ----
CREATE TABLE orgs (id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, created_ms BIGINT NOT NULL, settings TEXT NOT NULL,
    approvals_needed BIGINT NOT NULL, roster_version BIGINT NOT NULL, roster_sha256 BLOB NOT NULL, default_policy_id TEXT, mac BLOB NOT NULL);
    -- made and changed by server/model/org.h alone; approvals: of m of the roster's approvers; roster_sha256: over the approver keys that are or were in the roster
CREATE TABLE users (id TEXT PRIMARY KEY, org_id TEXT NOT NULL REFERENCES orgs(id), name TEXT NOT NULL, email TEXT, roles BIGINT NOT NULL,
    password TEXT, totp_sealed BLOB, totp_step BIGINT NOT NULL DEFAULT 0, oidc_issuer TEXT, oidc_subject TEXT, disabled_ms BIGINT,
    failures BIGINT NOT NULL DEFAULT 0, locked_until_ms BIGINT NOT NULL DEFAULT 0, created_ms BIGINT NOT NULL, version BIGINT NOT NULL DEFAULT 1, mac BLOB NOT NULL,
    UNIQUE (org_id, name), UNIQUE (oidc_issuer, oidc_subject)); -- password: Argon2id's encoded form
CREATE TABLE tokens (id TEXT PRIMARY KEY, org_id TEXT NOT NULL REFERENCES orgs(id), kind TEXT NOT NULL, owner_id TEXT NOT NULL, name TEXT NOT NULL, hash BLOB NOT NULL UNIQUE,
    roles BIGINT NOT NULL, created_ms BIGINT NOT NULL, expires_ms BIGINT NOT NULL, used_ms BIGINT, revoked_ms BIGINT, mac BLOB NOT NULL);
    -- kind: 'session', 'api', 'node', 'join'; owner_id: user or node; hash: SHA-256 of the token's text
CREATE TABLE approver_keys (id TEXT PRIMARY KEY, org_id TEXT NOT NULL REFERENCES orgs(id), user_id TEXT NOT NULL REFERENCES users(id), name TEXT NOT NULL,
    public_key BLOB NOT NULL, state TEXT NOT NULL, created_ms BIGINT NOT NULL, changed_ms BIGINT NOT NULL, UNIQUE (org_id, public_key));
    -- Ed25519, 32 bytes; state: 'proposed', 'active', 'retired' (what it signed holds), 'revoked' (nothing that it signed holds)
CREATE TABLE roster_changes (id TEXT PRIMARY KEY, org_id TEXT NOT NULL REFERENCES orgs(id), action TEXT NOT NULL, key_id TEXT REFERENCES approver_keys(id), approvals_needed BIGINT,
    roster_version BIGINT NOT NULL, statement TEXT NOT NULL, state TEXT NOT NULL, created_by TEXT NOT NULL, created_ms BIGINT NOT NULL, changed_ms BIGINT NOT NULL);
    -- action: 'add-key', 'retire-key', 'revoke-key', 'set-needed'; roster_version: the one that it changes; state: 'open', 'done', 'stale'

-- ---- apps and builds ----
CREATE TABLE apps (id TEXT PRIMARY KEY, org_id TEXT NOT NULL REFERENCES orgs(id), name TEXT NOT NULL, settings TEXT NOT NULL, is_single BIGINT NOT NULL, fence BIGINT NOT NULL DEFAULT 0,
    lease_s BIGINT NOT NULL, certificate_s BIGINT NOT NULL, policy_id TEXT, revoked_ms BIGINT, created_ms BIGINT NOT NULL, version BIGINT NOT NULL DEFAULT 1, mac BLOB NOT NULL, UNIQUE (org_id, name)); -- mac: not over fence
CREATE TABLE app_dns_names (name TEXT NOT NULL, org_id TEXT NOT NULL, app_id TEXT NOT NULL REFERENCES apps(id), PRIMARY KEY (name, app_id)); -- a name belongs to one organisation
CREATE TABLE builds (id TEXT PRIMARY KEY, org_id TEXT NOT NULL REFERENCES orgs(id), app_id TEXT NOT NULL REFERENCES apps(id), version TEXT NOT NULL,
    app_digest BLOB NOT NULL, mrenclave BLOB, mrsigner BLOB, isv_prod_id BIGINT, isv_svn BIGINT, snp_measurement BLOB, tdx_mrtd BLOB,
    is_debug BIGINT NOT NULL, descriptor TEXT NOT NULL, image TEXT, -- image: where nodes get it (OCI reference or path)
    state TEXT NOT NULL, -- 'proposed', 'allowed', 'deprecated', 'revoked'
    deprecated_from_ms BIGINT, deprecated_until_ms BIGINT, -- until: no lease of it runs longer
    proposed_by TEXT NOT NULL, created_ms BIGINT NOT NULL, changed_ms BIGINT NOT NULL, row_version BIGINT NOT NULL DEFAULT 1, mac BLOB NOT NULL, UNIQUE (app_id, version), UNIQUE (app_id, app_digest));
CREATE INDEX builds_by_mrenclave ON builds (mrenclave);
CREATE TABLE approvals (id TEXT PRIMARY KEY, org_id TEXT NOT NULL, subject_id TEXT NOT NULL, key_id TEXT NOT NULL REFERENCES approver_keys(id), statement TEXT NOT NULL,
    signature BLOB NOT NULL, created_ms BIGINT NOT NULL, mac BLOB NOT NULL, UNIQUE (subject_id, key_id, statement)); -- subject: build or roster change; statement: the canonical JSON that was signed

-- ---- policy ----
CREATE TABLE policies (id TEXT PRIMARY KEY, org_id TEXT NOT NULL REFERENCES orgs(id), name TEXT NOT NULL, version BIGINT NOT NULL, created_ms BIGINT NOT NULL, changed_ms BIGINT NOT NULL, mac BLOB NOT NULL,
    UNIQUE (org_id, name)); -- version: the one in force, 0: none yet; the organisation's default: orgs.default_policy_id
CREATE TABLE policy_versions (policy_id TEXT NOT NULL REFERENCES policies(id), org_id TEXT NOT NULL, version BIGINT NOT NULL, text TEXT NOT NULL, created_by TEXT NOT NULL, created_ms BIGINT NOT NULL, mac BLOB NOT NULL,
    PRIMARY KEY (policy_id, version)); -- text: as verifier_policy_new reads it

-- ---- nodes and instances ----
CREATE TABLE nodes (id TEXT PRIMARY KEY, org_id TEXT NOT NULL REFERENCES orgs(id), name TEXT NOT NULL, state TEXT NOT NULL, -- 'joined', 'ready', 'silent', 'refused', 'draining', 'drained', 'revoked'
    public_key BLOB, -- SPKI, DER; what its evidence is about
    tee TEXT, is_emulated BIGINT NOT NULL DEFAULT 0, platform_id TEXT, tcb TEXT, capacity TEXT, software TEXT, location TEXT,
    attested_ms BIGINT, evidence_until_ms BIGINT, -- of the last accepted evidence
    judged_ms BIGINT, refusal TEXT, -- when evidence was last shown, and why it or its successor was refused
    is_attest_wanted BIGINT NOT NULL DEFAULT 0, stapled_sha256 BLOB,
    seen_ms BIGINT, created_ms BIGINT NOT NULL, version BIGINT NOT NULL DEFAULT 1, evidence_ms BIGINT, evidence BLOB, appraisal TEXT, -- the last that was about it
    UNIQUE (org_id, name), UNIQUE (org_id, public_key));
CREATE INDEX nodes_by_platform ON nodes (org_id, platform_id);
CREATE TABLE instances (id TEXT PRIMARY KEY, org_id TEXT NOT NULL REFERENCES orgs(id), app_id TEXT NOT NULL REFERENCES apps(id), build_id TEXT REFERENCES builds(id), node_id TEXT REFERENCES nodes(id),
    state TEXT NOT NULL, -- 'requested', 'starting', 'running', 'unreachable', 'stopping', 'stopped', 'refused', 'revoked'
    wanted TEXT NOT NULL, -- 'run', 'stop'
    public_key BLOB UNIQUE, -- SPKI, DER
    tee TEXT, is_emulated BIGINT NOT NULL DEFAULT 0, tcb_status TEXT, platform_id TEXT, valid_until_ms BIGINT, -- when time alone changes the appraisal
    stapled_sha256 BLOB, -- of the collateral that came with the evidence
    fence BIGINT, lease_until_ms BIGINT, certificate_serial TEXT, certificate_until_ms BIGINT, secrets_version TEXT, exit_status BIGINT, reason TEXT,
    seen_ms BIGINT, created_ms BIGINT NOT NULL, changed_ms BIGINT NOT NULL, version BIGINT NOT NULL DEFAULT 1,
    tcb_key TEXT, -- whoever has the same is judged alike by TCB info: the platform's SVNs, its quoting enclave's
    evidence_kind TEXT, evidence_ms BIGINT, evidence BLOB, -- the last one, as a CMW in JSON; long columns stand last, so that lists do not read them
    appraisal TEXT); -- the last, EAR JSON
CREATE INDEX instances_by_org ON instances (org_id, id);
CREATE INDEX instances_by_state ON instances (org_id, state, id);
CREATE INDEX instances_by_app ON instances (app_id, id);
CREATE INDEX instances_by_app_state ON instances (app_id, state, id);
CREATE INDEX instances_by_build ON instances (build_id, id);
CREATE INDEX instances_by_platform ON instances (org_id, platform_id, id);
CREATE INDEX instances_by_node ON instances (node_id, id);
CREATE INDEX instances_by_validity ON instances (org_id, valid_until_ms, id) WHERE state IN ('running', 'unreachable');
CREATE INDEX instances_by_tcb ON instances (app_id, tcb_key, state, id);
CREATE INDEX instances_by_lease ON instances (state, lease_until_ms);
CREATE TABLE instance_history (instance_id TEXT NOT NULL REFERENCES instances(id), number BIGINT NOT NULL, time_ms BIGINT NOT NULL, state TEXT NOT NULL, reason TEXT, evidence_sha256 BLOB,
    PRIMARY KEY (instance_id, number));
CREATE TABLE stapled (sha256 BLOB PRIMARY KEY, content BLOB NOT NULL, used_ms BIGINT NOT NULL); -- collateral, as a CMW in JSON; one for many instances
CREATE TABLE instance_orders (instance_id TEXT NOT NULL REFERENCES instances(id), number BIGINT NOT NULL, kind TEXT NOT NULL, reason TEXT NOT NULL, created_ms BIGINT NOT NULL,
    PRIMARY KEY (instance_id, number)); -- kind: 'stop', 'revoke', 'renew'
CREATE TABLE nonces (nonce BLOB PRIMARY KEY, expires_ms BIGINT NOT NULL); -- used ones
CREATE INDEX nonces_by_expiry ON nonces (expires_ms);
CREATE TABLE revocations (org_id TEXT NOT NULL, kind TEXT NOT NULL, object TEXT NOT NULL, reason TEXT, created_by TEXT NOT NULL, created_ms BIGINT NOT NULL,
    number BIGINT NOT NULL DEFAULT 0, PRIMARY KEY (org_id, kind, object)); -- kind: 'instance', 'build', 'node', 'platform', 'app'; object: id, or the platform's; number: from 1
CREATE INDEX revocations_by_number ON revocations (org_id, number);
CREATE TABLE revocation_sets (org_id TEXT PRIMARY KEY REFERENCES orgs(id), count BIGINT NOT NULL, digest BLOB NOT NULL, mac BLOB NOT NULL); -- digest: of the chain of revocations

-- ---- secrets ----
CREATE TABLE secrets (id TEXT PRIMARY KEY, org_id TEXT NOT NULL REFERENCES orgs(id), name TEXT NOT NULL, version BIGINT NOT NULL, delivery TEXT NOT NULL, conditions TEXT NOT NULL,
    created_ms BIGINT NOT NULL, changed_ms BIGINT NOT NULL, mac BLOB NOT NULL, UNIQUE (org_id, name)); -- delivery, conditions: docs/secrets.md
CREATE TABLE secret_versions (secret_id TEXT NOT NULL REFERENCES secrets(id), version BIGINT NOT NULL, sealed BLOB NOT NULL, source TEXT NOT NULL, created_by TEXT NOT NULL, created_ms BIGINT NOT NULL, destroyed_ms BIGINT,
    PRIMARY KEY (secret_id, version));
CREATE TABLE secret_bindings (secret_id TEXT NOT NULL REFERENCES secrets(id), app_id TEXT NOT NULL REFERENCES apps(id), build_id TEXT NOT NULL DEFAULT '', PRIMARY KEY (secret_id, app_id, build_id));
CREATE INDEX secret_bindings_by_app ON secret_bindings (app_id);

-- ---- certificate authority ----
CREATE TABLE authorities (id TEXT PRIMARY KEY, org_id TEXT NOT NULL DEFAULT '', kind TEXT NOT NULL, state TEXT NOT NULL, certificate BLOB NOT NULL, key_sealed BLOB, created_ms BIGINT NOT NULL, expires_ms BIGINT NOT NULL);
    -- kind: 'root', 'intermediate', 'exchange', 'cross', 'request'; state: 'next', 'current', 'old'; org_id '': the server's; certificate: PEM; key_sealed: also over the rest of the row
CREATE TABLE certificates (serial TEXT PRIMARY KEY, org_id TEXT NOT NULL REFERENCES orgs(id), instance_id TEXT NOT NULL REFERENCES instances(id), authority_id TEXT NOT NULL,
    until_ms BIGINT NOT NULL, revoked_ms BIGINT); -- of instances, while they live
CREATE INDEX certificates_by_instance ON certificates (instance_id);
CREATE INDEX certificates_by_end ON certificates (until_ms);

-- ---- forecasts ----
CREATE TABLE forecasts (org_id TEXT NOT NULL REFERENCES orgs(id), app_id TEXT NOT NULL REFERENCES apps(id), tcb_key TEXT NOT NULL,
    basis TEXT NOT NULL, -- of the collateral under which it was judged
    until_ms BIGINT, -- NULL: it goes on being accepted
    number BIGINT NOT NULL, tcb_status TEXT, reason TEXT, is_published BIGINT NOT NULL, PRIMARY KEY (org_id, app_id, tcb_key));
    -- what an app's instances with such a TCB come to under early TCB info

-- ---- rollouts ----
CREATE TABLE rollouts (id TEXT PRIMARY KEY, org_id TEXT NOT NULL REFERENCES orgs(id), app_id TEXT NOT NULL REFERENCES apps(id), build_id TEXT NOT NULL REFERENCES builds(id), old_build_id TEXT NOT NULL REFERENCES builds(id),
    deprecated_from_ms BIGINT NOT NULL, end_ms BIGINT NOT NULL, state TEXT NOT NULL, created_by TEXT NOT NULL, created_ms BIGINT NOT NULL, changed_ms BIGINT NOT NULL, mac BLOB NOT NULL);
    -- state: 'open', 'forced' (the end date has come: what is left was stopped), 'done' (nothing of the old build is left), 'cancelled'
CREATE INDEX rollouts_by_state ON rollouts (state, end_ms);

-- ---- what happened ----
CREATE TABLE audit_entries (number BIGINT PRIMARY KEY, org_id TEXT, entry TEXT NOT NULL, leaf_hash BLOB NOT NULL, time_ms BIGINT NOT NULL, action TEXT, object TEXT, actor TEXT, app_id TEXT);
    -- action, object, actor, app_id (of its detail): copies out of the entry, to search by
CREATE INDEX audit_by_org ON audit_entries (org_id, number);
CREATE INDEX audit_by_action ON audit_entries (org_id, action, number);
CREATE INDEX audit_by_object ON audit_entries (org_id, object, number);
CREATE INDEX audit_by_app ON audit_entries (org_id, app_id, action, number) WHERE app_id IS NOT NULL;
CREATE TABLE audit_nodes (level BIGINT NOT NULL, number BIGINT NOT NULL, hash BLOB NOT NULL, PRIMARY KEY (level, number)); -- complete subtrees
CREATE TABLE audit_checkpoints (size BIGINT PRIMARY KEY, root BLOB NOT NULL, time_ms BIGINT NOT NULL, signature BLOB NOT NULL);
CREATE TABLE events (number BIGINT PRIMARY KEY, org_id TEXT NOT NULL, kind TEXT NOT NULL, object TEXT NOT NULL, data TEXT, time_ms BIGINT NOT NULL);
CREATE INDEX events_by_org ON events (org_id, number);
CREATE TABLE idempotency (org_id TEXT NOT NULL, actor TEXT NOT NULL, key TEXT NOT NULL, request_sha256 BLOB NOT NULL, answer BLOB NOT NULL, created_ms BIGINT NOT NULL, PRIMARY KEY (org_id, actor, key)); -- answer: sealed; written with what it tells of
CREATE INDEX idempotency_by_time ON idempotency (created_ms);
CREATE TABLE event_counter (id BIGINT PRIMARY KEY, number BIGINT NOT NULL); -- one row: serialises those who append, so that events are seen in the order of their numbers
INSERT INTO event_counter (id, number) VALUES (1, 0);
