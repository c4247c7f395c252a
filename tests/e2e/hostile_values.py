# SPDX-License-Identifier: Apache-2.0
"""Requests made of openapi.yaml's schemas: right ones, and the many ways to get one wrong. Every choice is the given generator's."""
import json

import jsonschema


class Raw(str):
    """JSON text that stands as it is."""


def dumps(value):
    """JSON; Raw parts unchanged, so that there can be what no serialiser writes. Bytes: surrogate escapes stay single bytes."""
    if isinstance(value, Raw):
        return str(value)
    if isinstance(value, dict):
        return '{' + ','.join(json.dumps(name) + ':' + dumps(item) for name, item in value.items()) + '}'
    if isinstance(value, list):
        return '[' + ','.join(dumps(item) for item in value) + ']'
    return json.dumps(value)


# Of whatever type is asked.
NUMBERS = [Raw(text) for text in ('-1', '0', '-0', '0.5', '1.0', '1e2', '1e400', '-1e400', '2147483648', '4294967296', '9007199254740993',
                                  '9223372036854775807', '9223372036854775808', '-9223372036854775808', '-9223372036854775809',
                                  '18446744073709551615', '18446744073709551616', '1' + '0' * 400, '01', '+1', '0x10', 'NaN', 'Infinity')]
TEXTS = ['', ' ', 'a', 'A' * 257, 'b' * 1025, 'c' * 70000, '0', 'null', '-', '--', '.', '..', '../../etc/passwd', '/etc/passwd',
         'a\r\nX-Injected: yes', "'; DROP TABLE apps; --", '" OR ""="', "' UNION SELECT mac FROM users --", '%00', '%s%n%x', '$1', '{app}',
         '<script>alert(1)</script>', '\x1b[31mred\x1b[0m', '\x00', '\x7f', '\x9b31m', '\u202egpj', '\u2028', '\ufeff', '\ufffe', 'ä' * 64,
         '\U0001f512' * 64, 'org_00000000000000000000000000', 'app_' + 'z' * 26, '2026-01-01T00:00:00Z', '9999-12-31T23:59:60Z',
         '0000-00-00T00:00:00Z', '2026-02-30T00:00:00Z', 'AAAA', 'AAA', '====', 'http://127.0.0.1:1/', 'file:///etc/passwd']
RAW_TEXTS = [Raw(text) for text in (r'"\ud800"', r'"\udc00\ud800"', r'"\u0000"', '"\udcff\udcfe"', '"\udcc0\udcaf"', '"\udced\udca0\udc80"', '"\t"', r'"\x"',
                                    '"open', "'single'")]
OTHERS = [None, True, False, [], {}, [None], {'a': None}, [[]] * 4, Raw('[' * 40 + ']' * 40), Raw('{"a":' * 40 + '1' + '}' * 40)]


def deep(text):
    return [text.replace('"', "'"), '[' + text + ']', text + text, text + ' x', '\ufeff' + text, text[:-1], text[1:], '', 'null', '[]', '"text"', '1',
            text + '\0', '/**/' + text, '{"a":' * 31 + '1' + '}' * 31, '{"a":' * 5000 + '1' + '}' * 5000, '[' * 100000,
            '{"\udcff":1}', '{"a":1,"a":2}', '{' + ','.join(f'"{i}":0' for i in range(40000)) + '}']


def resolve(contract, schema):
    return contract.resolve(schema) if '$ref' in schema else schema


class Maker:
    """ids: texts that stand for objects which are there, by what a member that names one is called."""

    def __init__(self, contract, random, ids):
        self.contract, self.random, self.ids = contract, random, ids

    def is_right(self, schema, value):
        validator = jsonschema.Draft7Validator(schema, resolver=self.contract.resolver)
        return next(validator.iter_errors(value), None) is None

    def text(self, schema, name):
        random = self.random
        if name in self.ids and random.random() < 0.7:
            return self.ids[name]
        if 'enum' in schema:
            return random.choice(schema['enum'])
        if schema.get('format') == 'date-time':
            return random.choice(['2026-01-01T00:00:00Z', '2099-12-31T23:59:59.999Z', '1970-01-01T00:00:00Z'])
        lengths = [schema.get('minLength', 1), schema.get('maxLength', 40), 16]
        candidates = ['a', 'web', 'ab' * 32, 'cd' * 48, '1.0', '0400', 'NAME', 'a.b', 'YWJj', 'hotel-%d' % random.randrange(10**6),
                      *('a' * min(length, 5000) for length in lengths)]
        random.shuffle(candidates)
        for candidate in candidates:
            if self.is_right(schema, candidate):
                return candidate
        return 'a'

    def value(self, schema, name='', depth=0):
        """A right one."""
        random = self.random
        schema = resolve(self.contract, schema)
        for word in ('oneOf', 'anyOf'):
            if word in schema:
                return self.value(random.choice(schema[word]), name, depth + 1)
        if 'allOf' in schema:
            return self.value(schema['allOf'][0], name, depth + 1)
        kind = schema.get('type')
        if isinstance(kind, list):
            if random.random() < 0.2:
                return None
            kind = kind[0]
        if kind == 'object':
            required = schema.get('required', [])
            return {member: self.value(part, member, depth + 1) for member, part in schema.get('properties', {}).items()
                    if member in required or (depth < 6 and random.random() < 0.5)}
        if kind == 'array':
            most = min(schema.get('maxItems', 3), 3)
            return [self.value(schema.get('items', {}), name, depth + 1) for _ in range(random.randint(min(schema.get('minItems', 0), most), most))]
        if kind == 'integer':
            low, high = schema.get('minimum', 0), schema.get('maximum', 1 << 31)
            return random.choice([low, high, random.randint(low, high), schema.get('default', low)])
        if kind == 'boolean':
            return random.random() < 0.5
        if kind == 'string':
            return self.text(schema, name)
        return random.choice([{}, {'version': 1, 'name': 'x'}, 1, 'a'])

    def edges(self, schema):
        """Just within, and just outside of what the schema allows."""
        schema = resolve(self.contract, schema)
        values = []
        for word, delta in (('minimum', -1), ('maximum', 1)):
            if word in schema:
                values += [schema[word], schema[word] + delta]
        for word, delta in (('minLength', -1), ('maxLength', 1)):
            if word in schema:
                values += ['a' * schema[word], 'a' * max(schema[word] + delta, 0)]
        if 'maxItems' in schema:
            values += [['a'] * (schema['maxItems'] + 1), [{}] * (schema['maxItems'] + 1)]
        if 'enum' in schema:
            values += ['no such word', *(str(word).upper() for word in schema['enum'] if word is not None)]
        return values

    def wrong(self, schema):
        """A value that is likely not of the schema."""
        return self.random.choice(self.random.choice([NUMBERS, TEXTS, RAW_TEXTS, OTHERS, self.edges(schema) or TEXTS]))

    def bent(self, schema, depth=0):
        """A right value with one thing wrong."""
        schema = resolve(self.contract, schema)
        random = self.random
        if 'oneOf' in schema:
            schema = resolve(self.contract, random.choice(schema['oneOf']))
        value = self.value(schema)
        properties = schema.get('properties')
        if isinstance(value, list) and value and depth < 4:
            value[random.randrange(len(value))] = self.bent(schema.get('items', {}), depth + 1)
            return value
        if not isinstance(value, dict) or not properties:
            return self.wrong(schema)
        member = random.choice(list(properties))
        what = random.randrange(10)
        if what == 0:
            value.pop(member, None)
        elif what == 1:
            value[random.choice(['extra', '', 'id', '__proto__', member + ' ', member.upper(), 'a' * 300, 'a\r\nb'])] = self.wrong({})
        elif what < 5 and depth < 4:
            value[member] = self.bent(properties[member], depth + 1)
        else:
            value[member] = self.wrong(properties[member])
        return value

    def body(self, schema, number):
        """(text, or bytes, of a body; the object, when it is a right one). The first of a series are right."""
        if number < 3:
            value = self.value(schema)
            return dumps(value), value
        if number % 6 == 0:
            return self.random.choice(deep(dumps(self.value(schema)))), None
        text = dumps(self.bent(schema))
        if number % 6 == 1 and text.startswith('{"'):  # a name twice
            text = text[:-1] + ',' + text[1:text.index(':')] + ':null}'
        return text, None
