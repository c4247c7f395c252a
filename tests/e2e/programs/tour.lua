-- SPDX-License-Identifier: Apache-2.0
-- What Lua programs do. The output is the same on each run.
local function part(name, ...) print(name, ...) end
part('text', ('from 2019-04'):match('(%d+)-(%d+)'), ('a1b22'):gsub('%d+', function(n) return n * 2 end))
local t = {}
for i = 1, 100000 do t[i] = (i * 7919) % 10007 end
table.sort(t)
part('sort', t[1], t[50000], t[100000], #t)
local co = coroutine.wrap(function(a) for i = 1, 3 do a = a + coroutine.yield(a * i) end return 'end' end)
part('coroutine', co(2), co(3), co(4), co(5))
local file = assert(io.open('/tmp/tour.txt', 'w+'))
file:write('one\n', 2, '\n', 3.5, '\n'); file:seek('set')
part('files', file:read('l', 'n', 'n')); file:close()
part('missing', io.open('/tmp/none'))
part('rename', os.rename('/tmp/tour.txt', '/tmp/b.txt'), os.remove('/tmp/b.txt'))
part('garbage', (function() local n = 0 for i = 1, 300000 do local x = { i, tostring(i) } n = n + #x end collectgarbage() return n end)(), collectgarbage('count') > 0)
part('error', pcall(error, { code = 1 }), select(2, pcall(function() return nil + 1 end)))
part('overflow', select('#', pcall(function() local function f() return 1 + f() end return f() end)))
part('numbers', 7 // 2, 7.0 // 2, 2 ^ 53, math.maxinteger, 1e100, 3 | 8, string.format('%q', 0.1))
part('date', os.date('!%Y-%m-%d %H:%M:%S', 1000000000), os.getenv('LANG'))
part('pack', string.unpack('<i4', string.pack('<i4', -2)))
os.exit(8, true)
