# SPDX-License-Identifier: Apache-2.0
# pystone-like CPU loop + object churn; prints seconds for each part
import time, sys
def fib(n):
    return n if n < 2 else fib(n-1) + fib(n-2)
class Rec:
    __slots__=('a','b','c')
    def __init__(s,a,b,c): s.a=a; s.b=b; s.c=c
def churn(n):
    d={}
    for i in range(n):
        r=Rec(i,str(i),[i]*8); d[i%5000]=r
    return len(d)
def strs(n):
    s=[]
    for i in range(n): s.append('%d:%s'%(i,hex(i)))
    return len(','.join(s))
def sieve(n):
    p=bytearray([1])*(n+1)
    for i in range(2,int(n**.5)+1):
        if p[i]: p[i*i::i]=bytes(len(range(i*i,n+1,i)))
    return sum(p)
def t(f,*a):
    s=time.perf_counter(); f(*a); return time.perf_counter()-s
if __name__=='__main__':
    k=float(sys.argv[1]) if len(sys.argv)>1 else 1
    tot=0
    for name,f,n in(('fib',fib,24),('churn',churn,int(200000*k)),('strs',strs,int(200000*k)),('sieve',sieve,int(3000000*k))):
        x=t(f,n); tot+=x; print('py_%s %.4f'%(name,x))
    print('py_total %.4f'%tot)
