import subprocess,time,re,os,signal,sys,urllib.request
def pss(pids):
    t=0
    for p in pids:
        for l in open(f'/proc/{p}/smaps_rollup'):
            if l.startswith('Pss:'): t+=int(l.split()[1])
    return t/1024
def kids(pid):
    out=[]
    for d in os.listdir('/proc'):
        if d.isdigit():
            try: st=open(f'/proc/{d}/stat').read().rsplit(')',1)[1].split()
            except OSError: continue
            if int(st[1])==pid: out+= [int(d)]+kids(int(d))
    return out
def run(iso,n,app,extra):
    log=open('mem.log','w')
    t0=time.time()
    p=subprocess.Popen(['build/uwring-3.13','--http-socket','127.0.0.1:9877','--processes',str(n),'--isolation',iso,'--disable-logging','--shards','1']+extra+app,cwd='examples',stdout=log,stderr=log)
    while 'is ready' not in open('mem.log').read():
        time.sleep(0.01)
        if time.time()-t0>30: print(open('mem.log').read()); sys.exit()
    ready=time.time()-t0
    for _ in range(200): urllib.request.urlopen('http://127.0.0.1:9877/').read()
    m=pss([p.pid]+kids(p.pid))
    p.send_signal(signal.SIGTERM); p.wait(10)
    return m,ready
for name,app,extra in [('tiny',['--wsgi-file','foobar_bytes.py'],[]),('flask',['-w','flask_app:app','-H','VENV'],[])]:
    for iso in ('interpreter','process'):
        r=[(run(iso,1,app,extra),run(iso,6,app,extra)) for _ in range(3)]
        m1=sorted(a[0] for a,b in r)[1]; m6=sorted(b[0] for a,b in r)[1]
        t1=sorted(a[1] for a,b in r)[1]; t6=sorted(b[1] for a,b in r)[1]
        print(name,iso,'1 worker %.1f MiB, 6 workers %.1f, each further %.2f MiB; ready after %.2f / %.2f s, each further %.0f ms'%(m1,m6,(m6-m1)/5,t1,t6,(t6-t1)/5*1000))
