#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What the documents name is there: relative links and their anchors, paths in backticks; each folder of the house has a README that begins with its trust."""
import fnmatch
import glob
import os
import re

import tree

TRUST = re.compile(r'^Trust: (trusted|untrusted|shared|relying party)\b')
# Folders with code of the product; what serves to build and test it needs no trust level.
HOUSE = ('abi', 'attest', 'builder', 'cli', 'client', 'collateral', 'host', 'lib', 'server', 'tee', 'verifier')
LINK = re.compile(r'\[[^\]\n]*\]\(([^)\s]+)(?:\s+"[^"]*")?\)')
CODE = re.compile(r'`([^`\n]+)`')
# What looks like a path of this tree: begins with a folder of the root, or is a file of C or Python.
TOP = sorted({name.split('/')[0] for name in tree.files('') if '/' in name})
PATH = re.compile(r'(?:' + '|'.join(re.escape(top) for top in TOP) + r')/[\w.,{}*/+-]*\Z')
FILE = re.compile(r'[\w{},*/+-]+\.(?:c|h|S|def|py|lds)\Z')
MADE = ('build/',)  # by the build


def without_fences(text):
    return re.sub(r'^```.*?^```', lambda m: '\n' * m.group().count('\n'), text, flags=re.M | re.S)


def anchors(text):
    """As GitHub makes them of headings."""
    found, seen = set(), {}
    for heading in re.findall(r'^#+ +(.+?) *#*$', without_fences(text), re.M):
        plain = re.sub(r'\[([^\]]*)\]\([^)]*\)', r'\1', heading).replace('`', '')
        slug = re.sub(r'[^\w\- ]', '', plain.lower()).replace(' ', '-')
        count = seen.get(slug, 0)
        seen[slug] = count + 1
        found.add(slug if count == 0 else f'{slug}-{count}')
    return found | set(re.findall(r'<a (?:name|id)="([^"]+)"', text))


def expand(path):
    """`a/{b,c}.h` is two paths."""
    match = re.search(r'\{([^{}]*)\}', path)
    if not match:
        return [path]
    return [each for word in match.group(1).split(',') for each in expand(path[:match.start()] + word + path[match.end():])]


def is_there(folder, path):
    """From the root, from the document's folder, or a file of that name somewhere below it."""
    for base in ('', folder):
        if glob.glob(os.path.join(tree.ROOT, base, path)):
            return True
    return '/' not in path and bool(glob.glob(os.path.join(tree.ROOT, folder, '**', path), recursive=True))


def line_of(text, position):
    return text.count('\n', 0, position) + 1


def check_links(name, text):
    problems = []
    for match in LINK.finditer(text):
        target, where = match.group(1), f'{name}:{line_of(text, match.start())}'
        if re.match(r'[a-z]+:', target):
            continue
        path, _, anchor = target.partition('#')
        full = os.path.normpath(os.path.join(tree.ROOT, os.path.dirname(name), path)) if path else os.path.join(tree.ROOT, name)
        if not os.path.exists(full):
            problems.append(f'{where}: the link {target} leads nowhere')
        elif anchor and full.endswith('.md') and anchor not in anchors(tree.text(os.path.relpath(full, tree.ROOT))):
            problems.append(f'{where}: {target}: there is no such heading')
    return problems


def check_paths(name, text):
    problems = []
    for match in CODE.finditer(text):
        word = match.group(1).rstrip('/')
        if not (PATH.match(word) or FILE.match(word)) or word.startswith(MADE):
            continue
        missing = [path for path in expand(word) if not is_there(os.path.dirname(name), path)]
        if missing and any(fnmatch.fnmatchcase('/' + other, '*/' + word) for other in ALL):
            continue  # the end of a path of another folder
        problems += [f'{name}:{line_of(text, match.start())}: `{path}` is not there' for path in missing]
    return problems


def check_folders():
    """Folders of the house with C files of their own."""
    problems = []
    for folder in sorted({os.path.dirname(name) for name in tree.files('.c', '.h', '.S') if name.split('/')[0] in HOUSE}):
        readme = os.path.join(folder, 'README.md')
        if not os.path.exists(os.path.join(tree.ROOT, readme)):
            problems.append(f'{folder}: no README.md')
        elif not TRUST.match(tree.text(readme)):
            problems.append(f'{readme}: the first line is not its trust level')
    return problems


ALL = tree.files('')


def main():
    names = tree.files('.md')
    problems = check_folders()
    for name in names:
        text = without_fences(tree.text(name))
        problems += check_links(name, text) + check_paths(name, text)
    tree.finish('links', problems, len(names))


if __name__ == '__main__':
    main()
