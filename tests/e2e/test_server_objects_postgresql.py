# SPDX-License-Identifier: Apache-2.0
"""The control plane's objects on PostgreSQL: the same tests as on SQLite."""
import itertools
import os
import subprocess
import sys

import cloched
import pytest

sys.path.insert(0, os.path.join(cloched.ROOT, 'tests', 'unit', 'server'))
import postgresql  # noqa: E402

from test_server_objects import (  # noqa: E402,F401
    owner, test_other_organisations, test_placement, test_policies, test_rollout, test_roster, test_texts_of_many_bytes)

_numbers = itertools.count()


@pytest.fixture(scope='module')
def database():
    with postgresql.Postgresql() as running:
        yield running


@pytest.fixture
def server(database):
    name = f'objects_{next(_numbers)}'
    subprocess.run(['createdb', '-h', database.folder, '-U', 'root', name], check=True, timeout=60)
    with cloched.Cloched(store=database.url(name)) as running:
        yield running
