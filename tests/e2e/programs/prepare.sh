# SPDX-License-Identifier: Apache-2.0
# Runs natively in the image of the runtimes. In: a tar file with the Java sources. Out: a tar file with their classes in
# opt/programs and a small repository in opt/repository.
set -e
mkdir -p /tmp/java /tmp/out/opt/programs /tmp/out/opt/repository
tar -x -C /tmp/java -f -
java -cp /usr/share/java/eclipse-jdt-core.jar org.eclipse.jdt.internal.compiler.batch.Main -17 -nowarn -proc:none \
    -d /tmp/out/opt/programs /tmp/java/*.java >&2
cd /tmp/out/opt/repository
export GIT_AUTHOR_DATE='1700000000 +0000' GIT_COMMITTER_DATE='1700000000 +0000'
git init -q -b main .
git config user.name Author
git config user.email author@example.org
for i in 1 2 3 4 5 6 7 8; do
    mkdir -p "folder$i"
    cp /etc/passwd "folder$i/users"
    seq "$((i * 100))" > numbers
    echo "line $i" >> log
    git add -A
    git commit -q -m "Change $i" -m "The body of change $i."
    [ $i != 4 ] || git tag -a -m 'The first release' v1
    [ $i != 6 ] || git gc -q
done
git branch side HEAD~3
rm -rf .git/hooks
echo changed >> log
echo new > untracked
tar -c -C /tmp/out .
