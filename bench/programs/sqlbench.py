# SPDX-License-Identifier: Apache-2.0
# sqlite on disk: 100k inserts in transactions of 1000 + selects; prints seconds
import sqlite3, time, sys, os
p=sys.argv[1]; n=int(sys.argv[2]) if len(sys.argv)>2 else 100000
for s in('','-journal','-wal','-shm'):
    try: os.unlink(p+s)
    except OSError: pass
c=sqlite3.connect(p); c.isolation_level=None
if len(sys.argv)>3: c.execute('pragma synchronous='+sys.argv[3])
c.execute('create table t(id integer primary key,k integer,v text)')
t0=time.perf_counter()
for b in range(0,n,1000):
    c.execute('begin')
    c.executemany('insert into t values(?,?,?)',((i,(i*7919)%n,'value-%d'%i*3) for i in range(b,b+1000)))
    c.execute('commit')
t1=time.perf_counter()
c.execute('create index ik on t(k)')
t2=time.perf_counter()
s=0
for i in range(0,n,5):
    s+=c.execute('select length(v) from t where k=?',(i,)).fetchone()[0]
t3=time.perf_counter()
c.close()
c=sqlite3.connect(p)
r=c.execute('select count(*),sum(length(v)) from t where v like \'%9%\'').fetchone()
t4=time.perf_counter(); c.close()
print('sql_insert %.4f'%(t1-t0)); print('sql_index %.4f'%(t2-t1)); print('sql_select %.4f'%(t3-t2)); print('sql_scan %.4f'%(t4-t3)); print('sql_total %.4f'%(t4-t0))
