# SPDX-License-Identifier: Apache-2.0
"""A plugin for pytest (-p on_postgresql): every control plane of the tests has its store in a PostgreSQL server, each a schema of its own."""
import itertools
import os
import subprocess
import sys

import pytest

import cloched

sys.path.insert(0, os.path.join(cloched.ROOT, 'tests', 'unit', 'server'))
import postgresql  # noqa: E402

_count = itertools.count()


@pytest.fixture(scope='session', autouse=True)
def all_on_postgresql():
    with postgresql.Postgresql() as database:
        make = cloched.Cloched.__init__

        def init(self, *args, **options):
            if 'store' not in options:
                schema = f'test_{next(_count)}'
                subprocess.run(['psql', '-q', '-d', database.url(), '-c', f'CREATE SCHEMA {schema}'], check=True, timeout=60)
                options['store'] = database.url() + f'&options=-csearch_path%3D{schema}'
            make(self, *args, **options)

        cloched.Cloched.__init__ = init
        yield
        cloched.Cloched.__init__ = make
