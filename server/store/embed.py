#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Turns migrations/NNN_name.sql into a C table: embed.py OUTPUT FILE..."""
import os
import re
import sys


def text(sql):
    lines = (re.sub(r'\s*--.*$', '', line).rstrip() for line in sql.splitlines())
    return [line for line in lines if line.strip()]


def literal(lines):
    quoted = (line.replace('\\', '\\\\').replace('"', '\\"') for line in lines)
    return '\n'.join(f'        "{line}\\n"' for line in quoted)


def main():
    output, *names = sys.argv[1:]
    rows, tables = [], []
    for number, name in enumerate(sorted(names, key=os.path.basename), 1):
        match = re.fullmatch(r'(\d{3})_(\w+)\.sql', os.path.basename(name))
        if not match or int(match[1]) != number:
            sys.exit(f'{name}: expected the name {number:03}_....sql')
        with open(name, encoding='ascii') as file:
            lines = text(file.read())
        for verb, table in re.findall(r'^(CREATE TABLE|DROP TABLE|ALTER TABLE \w+ RENAME TO) (\w+)', '\n'.join(lines), re.M):
            if verb == 'CREATE TABLE':
                tables.append([table, number, 0])
            elif verb == 'DROP TABLE':
                next(row for row in tables if row[0] == table and not row[2])[2] = number
            else:
                sys.exit(f'{name}: a table keeps its name: make the new one, copy, drop the old')
        postgres = [re.sub(r'\bBLOB\b', 'BYTEA', line) for line in lines]
        rows.append(f'    {{ {number}, "{match[2]}",\n{literal(lines)},\n{literal(postgres)} }},')
    with open(output, 'w', encoding='ascii') as file:
        file.write('/* Made by server/store/embed.py. */\n#include "server/store/backend.h"\n\n'
                   'const struct store_migration store_migrations[] = {\n' + '\n'.join(rows) +
                   '\n};\nconst unsigned store_migration_count = ' + str(len(rows)) + ';\n' +
                   'const struct store_table store_tables[] = {\n' +
                   ''.join(f'    {{ "{name}", {since}, {until} }},\n' for name, since, until in tables) + '    { 0 }\n};\n')


if __name__ == '__main__':
    main()
