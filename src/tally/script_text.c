/* SPDX-License-Identifier: Apache-2.0
 *
 * The operations as Redis carries them out: one script, so that a call is one step there too, and one that shows keys.
 * The script keeps what it changes in tables and writes at its end, so that a refusal leaves nothing behind; it is
 * rules.c in Lua. How things are kept: a counter is the text "value time half-life", a budget "former present start
 * window", a mark "value until", all with times in ms; members are a sorted set of digests by the time they go. Redis'
 * own expiry only clears away what the times already say is over.
 */
#include "tally/tally_private.h"

#define SCRIPT_CLOCK                                                                                                   \
    "local now = tonumber(ARGV[2])\n"                                                                                  \
    "if now == 0 then local t = redis.call('TIME') now = t[1] * 1000 + math.floor(t[2] / 1000) end\n"                  \
    "local function num(x) return string.format('%.17g', x) end\n"                                                     \
    "local function int(x) return string.format('%.0f', x) end\n"                                                      \
    "local function words(s)\n"                                                                                        \
    "  local out = {}\n"                                                                                               \
    "  for w in string.gmatch(s or '', '%S+') do out[#out + 1] = tonumber(w) end\n"                                    \
    "  return out\n"                                                                                                   \
    "end\n"                                                                                                            \
    "local function decayed(v, at, half)\n"                                                                            \
    "  local passed = math.max(now - at, 0)\n"                                                                         \
    "  v = v * 2 ^ (-(passed / half))\n"                                                                               \
    "  if v < 1 / 1024 then return 0 end\n"                                                                            \
    "  return v\n"                                                                                                     \
    "end\n"                                                                                                            \
    "local function counter_left(v, half)\n"                                                                           \
    "  if v <= 0 then return 0 end\n"                                                                                  \
    "  return math.ceil(half * math.log(v * 1024) / math.log(2))\n"                                                    \
    "end\n"                                                                                                            \
    "local function rolled(b, window)\n"                                                                               \
    "  local start = math.floor(now / window) * window\n"                                                              \
    "  local r = {former = 0, present = 0, start = start, window = window}\n"                                          \
    "  if b.start == start then r.former = b.former r.present = b.present\n"                                           \
    "  elseif b.start + window == start then r.former = b.present end\n"                                               \
    "  return r\n"                                                                                                     \
    "end\n"                                                                                                            \
    "local function used(b) return b.former * (1 - (now - b.start) / b.window) + b.present end\n"                      \
    "local function budget_left(b)\n"                                                                                  \
    "  if b.former + b.present <= 0 then return 0 end\n"                                                               \
    "  local till = b.start + b.window\n"                                                                              \
    "  if b.present > 0 then till = till + b.window end\n"                                                             \
    "  return math.max(till - now, 0)\n"                                                                               \
    "end\n"                                                                                                            \
    "local function read_counter(k)\n"                                                                                 \
    "  local w = words(redis.call('GET', k))\n"                                                                        \
    "  return {v = w[1] or 0, at = w[2] or 0, half = w[3] or 1}\n"                                                     \
    "end\n"                                                                                                            \
    "local function read_budget(k)\n"                                                                                  \
    "  local w = words(redis.call('GET', k))\n"                                                                        \
    "  return {former = w[1] or 0, present = w[2] or 0, start = w[3] or 0, window = w[4] or 1}\n"                      \
    "end\n"                                                                                                            \
    "local function read_mark(k)\n"                                                                                    \
    "  local w = words(redis.call('GET', k))\n"                                                                        \
    "  return {v = w[1] or 0, till = w[2] or 0}\n"                                                                     \
    "end\n"                                                                                                            \
    "local function live_members(k) return redis.call('ZCOUNT', k, '(' .. int(now), '+inf') end\n"

/* KEYS[1] the epoch, then one per operation; ARGV: the epoch's value, the time or 0, whether limits are off, the length
 * of what is before the type's letter in a key; then eight for each operation. */
const char script_run_text[] = SCRIPT_CLOCK
    "if redis.call('GET', KEYS[1]) ~= ARGV[1] then return redis.error_reply('EPOCH the data is not what it was') end\n"
    "local force, plen = ARGV[3] == '1', tonumber(ARGV[4])\n"
    "local states, order = {}, {}\n"
    "local function fresh(k)\n"
    "  local t = string.sub(k, plen + 1, plen + 1)\n"
    "  if t == 'c' then return {t = t, v = 0, at = 0, half = 1} end\n"
    "  if t == 'b' then return {t = t, former = 0, present = 0, start = 0, window = 1} end\n"
    "  if t == 'm' then return {t = t, v = 0, till = 0} end\n"
    "  return {t = 's', n = 0, put = {}, wiped = true}\n"
    "end\n"
    "local function load(k)\n"
    "  local s = states[k]\n"
    "  if s then return s end\n"
    "  local t = string.sub(k, plen + 1, plen + 1)\n"
    "  if t == 'c' then s = read_counter(k)\n"
    "  elseif t == 'b' then s = read_budget(k)\n"
    "  elseif t == 'm' then s = read_mark(k)\n"
    "  else s = {n = live_members(k), put = {}} end\n"
    "  s.t = t\n"
    "  states[k] = s\n"
    "  order[#order + 1] = k\n"
    "  return s\n"
    "end\n"
    "local function till_of(k, s, m)\n"
    "  local p = s.put[m]\n"
    "  if p ~= nil then return p end\n"
    "  if s.wiped then return 0 end\n"
    "  return tonumber(redis.call('ZSCORE', k, m) or 0)\n"
    "end\n"
    "local function first_goes(k, s)\n"
    "  local first = math.huge\n"
    "  if not s.wiped then\n"
    "    local all = redis.call('ZRANGEBYSCORE', k, '(' .. int(now), '+inf', 'WITHSCORES')\n"
    "    for i = 1, #all, 2 do\n"
    "      if s.put[all[i]] == nil then first = math.min(first, tonumber(all[i + 1])) end\n"
    "    end\n"
    "  end\n"
    "  for _, till in pairs(s.put) do if till > now then first = math.min(first, till) end end\n"
    "  return first == math.huge and 0 or first - now\n"
    "end\n"
    "local function is_live(k)\n"
    "  local s = load(k)\n"
    "  if s.t == 'c' then return counter_left(decayed(s.v, s.at, s.half), s.half) > 0 end\n"
    "  if s.t == 'b' then return budget_left(s) > 0 end\n"
    "  if s.t == 'm' then return s.till > now end\n"
    "  return s.n > 0\n"
    "end\n"
    "local ops = {}\n"
    "function ops.C(k, o, r)\n"
    "  local s = load(k)\n"
    "  local v = decayed(s.v, s.at, o.time)\n"
    "  if o.amount ~= 0 then\n"
    "    if o.amount > 0 and o.limit > 0 then v = math.max(v, math.min(v + o.amount, o.limit))\n"
    "    else v = math.max(v + o.amount, 0) end\n"
    "    s.v = v s.at = now s.half = o.time s.dirty = true\n"
    "  end\n"
    "  r.value = v\n"
    "end\n"
    "function ops.T(k, o, r)\n"
    "  local s = load(k)\n"
    "  local b = rolled(s, o.time)\n"
    "  r.value = used(b)\n"
    "  if o.amount > 0 and o.limit > 0 and not force and r.value + o.amount > o.limit then\n"
    "    if o.amount <= o.limit then\n"
    "      local at\n"
    "      if b.present + o.amount <= o.limit then\n"
    "        at = b.window * (1 - (o.limit - o.amount - b.present) / b.former)\n"
    "      else at = b.window + b.window * (1 - (o.limit - o.amount) / b.present) end\n"
    "      r.left = math.max(math.ceil(b.start + at - now), 1)\n"
    "    end\n"
    "    return true\n"
    "  end\n"
    "  if o.amount > 0 then b.present = b.present + o.amount\n"
    "  else\n"
    "    local back = -o.amount\n"
    "    local rest = back - b.present\n"
    "    b.present = math.max(b.present - back, 0)\n"
    "    if rest > 0 then b.former = math.max(b.former - rest, 0) end\n"
    "  end\n"
    "  if o.amount ~= 0 then\n"
    "    s.former = b.former s.present = b.present s.start = b.start s.window = b.window s.dirty = true\n"
    "  end\n"
    "  r.value = used(b)\n"
    "end\n"
    "function ops.I(k, o, r)\n"
    "  local s = load(k)\n"
    "  r.left = math.max(s.till - now, 0)\n"
    "  r.there = r.left > 0\n"
    "  r.value = r.there and s.v or 0\n"
    "end\n"
    "function ops.M(k, o, r)\n"
    "  local s = load(k)\n"
    "  ops.I(k, o, r)\n"
    "  if r.there and o.keep then return end\n"
    "  s.v = o.amount s.till = now + o.time s.dirty = true\n"
    "  r.value = o.amount r.left = o.time\n"
    "end\n"
    "function ops.S(k, o, r)\n"
    "  local s = load(k)\n"
    "  r.value = s.n\n"
    "  r.there = till_of(k, s, o.member) > now\n"
    "end\n"
    "function ops.J(k, o, r)\n"
    "  local s = load(k)\n"
    "  ops.S(k, o, r)\n"
    "  if not r.there and o.limit > 0 and not force and r.value >= o.limit then\n"
    "    r.left = first_goes(k, s)\n"
    "    return true\n"
    "  end\n"
    "  r.capped = not r.there and s.n >= o.most\n"
    "  if not r.capped then\n"
    "    if not r.there then s.n = s.n + 1 end\n"
    "    s.put[o.member] = now + o.time s.dirty = true\n"
    "  end\n"
    "  r.value = s.n\n"
    "end\n"
    "function ops.L(k, o, r)\n"
    "  local s = load(k)\n"
    "  ops.S(k, o, r)\n"
    "  if r.there then s.n = s.n - 1 s.put[o.member] = 0 s.dirty = true end\n"
    "  r.value = s.n\n"
    "end\n"
    "function ops.F(k, o, r)\n"
    "  for t in string.gmatch('cbms', '.') do\n"
    "    local typed = string.sub(k, 1, plen) .. t .. string.sub(k, plen + 2)\n"
    "    if is_live(typed) then r.value = r.value + 1 end\n"
    "    states[typed] = fresh(typed)\n"
    "    states[typed].dirty = true\n"
    "  end\n"
    "end\n"
    "local function save_text(k, text, left)\n"
    "  if left > 0 then redis.call('SET', k, text, 'PX', int(left + 1000)) else redis.call('DEL', k) end\n"
    "end\n"
    "local function save(k, s)\n"
    "  if s.t == 'c' then\n"
    "    save_text(k, num(s.v) .. ' ' .. int(s.at) .. ' ' .. int(s.half), counter_left(s.v, s.half))\n"
    "  elseif s.t == 'b' then\n"
    "    save_text(k, num(s.former) .. ' ' .. num(s.present) .. ' ' .. int(s.start) .. ' ' .. int(s.window),\n"
    "              budget_left(s))\n"
    "  elseif s.t == 'm' then save_text(k, num(s.v) .. ' ' .. int(s.till), s.till - now)\n"
    "  else\n"
    "    if s.wiped then redis.call('DEL', k) end\n"
    "    local left = redis.call('PTTL', k)\n"
    "    redis.call('ZREMRANGEBYSCORE', k, '-inf', int(now))\n"
    "    for m, till in pairs(s.put) do\n"
    "      if till > now then redis.call('ZADD', k, int(till), m) left = math.max(left, till - now + 1000)\n"
    "      else redis.call('ZREM', k, m) end\n"
    "    end\n"
    "    redis.call('PEXPIRE', k, int(math.max(left, 1)))\n"
    "  end\n"
    "end\n"
    "local results, refused = {}, -1\n"
    "for i = 2, #KEYS do\n"
    "  local a = 5 + (i - 2) * 8\n"
    "  local o = {kind = ARGV[a], amount = tonumber(ARGV[a + 1]), limit = tonumber(ARGV[a + 2]),\n"
    "             time = tonumber(ARGV[a + 3]), most = tonumber(ARGV[a + 4]), keep = ARGV[a + 5] == '1',\n"
    "             if_new = tonumber(ARGV[a + 6]), member = ARGV[a + 7]}\n"
    "  local r = {value = 0, there = false, capped = false, left = 0}\n"
    "  local skip = o.if_new > 0 and results[o.if_new].there\n"
    "  if skip and (o.kind == 'C' or o.kind == 'T') then skip = false o.amount = 0 end\n"
    "  results[i - 1] = r\n"
    "  if not skip and ops[o.kind](KEYS[i], o, r) then refused = i - 2 break end\n"
    "end\n"
    "if refused < 0 then\n"
    "  for _, k in ipairs(order) do if states[k].dirty then save(k, states[k]) end end\n"
    "end\n"
    "local out = {int(refused)}\n"
    "for i = 1, #KEYS - 1 do\n"
    "  local r = results[i]\n"
    "  if not r or (refused >= 0 and refused ~= i - 1) then r = {value = 0, left = 0} end\n"
    "  out[#out + 1] = num(r.value)\n"
    "  out[#out + 1] = r.there and '1' or '0'\n"
    "  out[#out + 1] = r.capped and '1' or '0'\n"
    "  out[#out + 1] = int(r.left)\n"
    "end\n"
    "return out\n";

/* ARGV: the cursor, the time or 0, the pattern, the length before the type's letter, whether to remove. */
const char script_show_text[] =
    SCRIPT_CLOCK "local plen, remove = tonumber(ARGV[4]), ARGV[5] == '1'\n"
                 "local page = redis.call('SCAN', ARGV[1], 'MATCH', ARGV[3], 'COUNT', 500)\n"
                 "local out = {page[1], 0}\n"
                 "for _, k in ipairs(page[2]) do\n"
                 "  local t, v, left = string.sub(k, plen + 1, plen + 1), 0, 0\n"
                 "  if t == 'c' then\n"
                 "    local s = read_counter(k)\n"
                 "    v = decayed(s.v, s.at, s.half) left = counter_left(v, s.half)\n"
                 "  elseif t == 'b' then\n"
                 "    local s = read_budget(k)\n"
                 "    v = used(rolled(s, s.window)) left = budget_left(s)\n"
                 "  elseif t == 'm' then\n"
                 "    local s = read_mark(k)\n"
                 "    v = s.v left = math.max(s.till - now, 0)\n"
                 "  else\n"
                 "    local last = redis.call('ZREVRANGE', k, 0, 0, 'WITHSCORES')\n"
                 "    v = live_members(k) left = math.max(tonumber(last[2] or 0) - now, 0)\n"
                 "  end\n"
                 "  if left > 0 and remove then\n"
                 "    redis.call('UNLINK', k)\n"
                 "    out[2] = out[2] + 1\n"
                 "  elseif left > 0 then\n"
                 "    out[#out + 1] = k\n"
                 "    out[#out + 1] = num(v)\n"
                 "    out[#out + 1] = int(left)\n"
                 "  end\n"
                 "end\n"
                 "out[2] = int(out[2])\n"
                 "return out\n";
