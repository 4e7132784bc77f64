import time
exec(open("bench2.py").read().split("Q = b")[0])
import sys; sys.path.insert(0,'/tmp/w/sql')
from tests.bench.rows import sql
from tests.bench.bench_hpack import REQUEST, blocks_of
from receiver.l7.hpack import HpackDecoder, HeaderList
f,w = blocks_of(REQUEST, True); d=HpackDecoder(); h=HeaderList(); d.decode(f,0,len(f),h)
def hp(): d.decode(w,0,len(w),h); h.fields.clear()
for _ in range(3):
    print("hpack", best(hp,10), "205B", best(sql.reading(sql.QUERY),10), "56B", best(sql.reading(sql.SHORT),10), "4K", best(sql.reading(sql.LONG),2), "rows 4K", best(sql.reading(sql.ROWS),2), "new", round(best(sql.new_ones(),1,30)/500,2))
