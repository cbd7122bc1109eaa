import collections
KEEP=[{"a":[i],"b":(i,str(i))} for i in range(300000)]
LRU=collections.deque(maxlen=100000)
def application(environ, start_response):
    for i in range(40):
        LRU.append({"k":[i], "v":{"x":i}})
    start_response("200 OK",[("Content-Length","2")])
    return [b"ok"]
