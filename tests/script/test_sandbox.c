// The sandbox: what a stranger's file cannot do, what stops it, and what its errors say.
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "script/sandbox.h"

// Run `text`; returns the error's text ("" when it went well) in a static buffer.
static const char *outcome(const char *text, size_t memory, double seconds, base_job *job) {
    static base_err err;
    memset(&err, 0, sizeof err);
    lua_State *L = script_state_new("recipe", memory, job);
    assert_non_null(L);
    if (script_load(L, "case.lua", text, &err) && script_pcall(L, 0, 0, seconds, &err)) err.text[0] = 0;
    assert_int_equal(lua_gettop(L), 0);
    script_state_free(L);
    return err.text;
}

static void expect(const char *text, const char *part) {
    const char *got = outcome(text, 8 << 20, 0.3, NULL);
    if (*part ? !strstr(got, part) : *got) fail_msg("%s\n  gave: %s\n  expected: %s", text, got, part);
}

static void test_allowed(void **state) {
    (void)state;
    expect("assert(('x'):rep(3) == 'xxx' and math.floor(2.5) == 2 and #{1, 2} == 2)", "");
    expect("local t = {3, 1, 2} table.sort(t) assert(table.concat(t) == '123')", "");
    expect("local co = coroutine.wrap(function() coroutine.yield(1) return 2 end) assert(co() == 1 and co() == 2)", "");
    expect("assert(load('return 1 + 1')() == 2)", "");
    expect("assert(select('#', table.unpack({1, 2, 3})) == 3 and utf8.len('\\u{e9}') == 1)", "");
    expect("assert(xpcall(function(a, b) return a + b end, print, 1, 2) == true)", "");
    expect("local ok, m = xpcall(error, function(e) return e .. '!' end, 'x') assert(not ok and m == 'x!')", "");
    expect("local co = coroutine.wrap(function() return select(2, xpcall(coroutine.yield, print, 4)) end) "
           "assert(co() == 4) assert(co(5) == 5)",
           "");
    expect("local co = coroutine.wrap(function() return 1 end) co() assert(not pcall(co))", "");
    expect("local t = setmetatable({}, {__index = function(_, k) return k end}) assert(t.a == 'a')", "");
    expect("assert(('key = value'):match('^(%w+)%s*=%s*(.-)$') == 'key')", "");
    expect("for k in (('word '):rep(5000)):gmatch('%S+') do assert(k == 'word') end", "");
    expect("#!/usr/bin/env vise\nassert(true)", "");
}

// Each of these reaches for something outside; the second text must be in the error.
static void test_escapes(void **state) {
    (void)state;
    static const char *const attempt[][2] = {
        {"io.open('/etc/passwd')", "nothing is called 'io'"},
        {"os.execute('true')", "nothing is called 'os'"},
        {"os.exit(0)", "nothing is called 'os'"},
        {"debug.getregistry()", "nothing is called 'debug'"},
        {"package.loadlib('libc.so.6', '*')", "nothing is called 'package'"},
        {"dofile('/etc/passwd')", "nothing is called 'dofile'"},
        {"loadfile('/etc/passwd')", "nothing is called 'loadfile'"},
        {"loadstring('return 1')", "nothing is called 'loadstring'"},
        {"string.dump(function() end)", "attempt to call a nil value (field 'dump')"},
        {"('x').dump(print)", "attempt to call a nil value (field 'dump')"},
        {"assert(load('\\27Lua\\x54\\0\\x19\\x93'))", "attempt to load a binary chunk"},
        {"assert(load('\\27Lua', 'x', 'b'))", "attempt to load a binary chunk"},
        {"local n = 0 assert(load(function() n = n + 1 return n == 1 and '\\27Lua' or nil end, 'x', 'bt'))",
         "attempt to load a binary chunk"},
        {"collectgarbage('stop')", "can only \"count\""},
        {"collectgarbage('generational')", "can only \"count\""},
        {"getmetatable('').__index.rep = nil", "attempt to index a boolean value"},
        {"setmetatable({}, {__gc = function() while true do end end})", "__gc is not available"},
        {"_G.print = nil", "nothing is called '_G'"},
        {"print = nil", "'print' belongs to the language"},
        {"x = 1", "'x' is not declared"},
        {"local y = undefined_thing", "nothing is called 'undefined_thing'"},
        {"local y = setmetatble", "the nearest name is 'setmetatable'"},
        {"require('../../etc/passwd')", "no module name"},
        {"require('/etc/passwd')", "no module name"},
        {"require('..')", "no module name"},
        {"require('io')", "there is no lua/vise/io.lua"},
        {"require('nothing.here')", "there is no"},
        {"math.randomseed()", "number expected"},
        {"setmetatable(_ENV, nil)", "protected metatable"},
        {"getmetatable(_ENV).__index.io = 1", "attempt to index a boolean value"},
        {"load('x = 1')()", "'x' is not declared"},
        {"load('return io', 'n', 't')()", "nothing is called 'io'"},
        {"coroutine.wrap(function() return io end)()", "nothing is called 'io'"},
        {"error(setmetatable({}, {__tostring = function() return os end}))", "value of type table"},
        {"pcall = nil", "belongs to the language"},
        {"rawset(_ENV, 'x', nil) for k, v in pairs(_ENV) do assert(k == 0) end error('empty')", "empty"},
    };
    for (size_t i = 0; i < sizeof attempt / sizeof *attempt; i++) expect(attempt[i][0], attempt[i][1]);
}

// Each would run for ever, in Lua or inside one C function.
static void test_endless(void **state) {
    (void)state;
    static const char *const loops[] = {
        "while true do end",
        "while true do pcall(function() while true do end end) end",
        "pcall(pcall, function() while true do end end) while true do end",
        "local function f() return f() end f()",
        "xpcall(function() while true do end end, function() while true do end end) while true do end",
        "coroutine.wrap(function() while true do end end)()",
        "local co = coroutine.wrap(function() while true do coroutine.yield() end end) while true do co() end",
        "while true do pcall(coroutine.wrap(function() while true do end end)) end",
        "coroutine.wrap(function() local x <close> = setmetatable({}, {__close = function() while true do end end}) "
        "while true do end end)()",
        "local co = coroutine.create(function() local x <close> = setmetatable({}, {__close = function() while true do "
        "end end}) while true do end end) coroutine.resume(co) co = nil local t = {} while true do t = {t} t = {} end",
        "::a:: goto a",
        "local t = setmetatable({}, {__index = function(t, k) return t[k + 1] end}) while true do pcall(function() "
        "return t[1] end) end",
        "local x <close> = setmetatable({}, {__close = function() while true do end end})",
        "local x <close> = setmetatable({}, {__close = function() while true do end end}) while true do end",
        "table.sort({3, 2, 1}, function() while true do end end)",
        "('x'):rep(100):gsub('.', function() while true do end end)",
        "for i in function() return 1 end do end",
        "while true do local s = ('x'):rep(4000000) end",
        "while true do pcall(string.rep, 'x', 1 << 40) end",
        "error(setmetatable({}, {__tostring = function() while true do end end}))",
        "load(function() while true do end end)",
        "while true do load('return 1') end",
        "table.concat(setmetatable({}, {__len = function() while true do end end}))",
    };
    for (size_t i = 0; i < sizeof loops / sizeof *loops; i++) {
        double start = base_now();
        const char *got = outcome(loops[i], 8 << 20, 0.1, NULL);
        double seconds = base_now() - start;
        if (!*got) fail_msg("%s\n  ended well", loops[i]);
        if (seconds > 3) fail_msg("%s\n  took %.1f s", loops[i], seconds);
    }
    const char *got = outcome("local a = 1\nwhile true do\n  a = a + 1\nend", 0, 0.05, NULL);
    assert_non_null(strstr(got, "endless loop?"));
    assert_true(strstr(got, "case.lua:3: ") || strstr(got, "case.lua:2: "));
    // pcall cannot swallow it: nothing after the pcall runs.
    got = outcome("pcall(function() while true do end end) error('went on')", 0, 0.05, NULL);
    assert_non_null(strstr(got, "endless loop?"));
}

// C functions that would count to 2^53 without a hook or an allocation.
static void test_long_c_calls(void **state) {
    (void)state;
    static const char *const calls[] = {
        "assert((''):rep(1 << 53) == '')",
        "pcall(table.move, {}, 1, 1 << 53, 2)",
        "pcall(table.insert, setmetatable({}, {__len = function() return 1 << 53 end, __index = rawlen, "
        "__newindex = type}), 1, 0)",
        "pcall(table.sort, setmetatable({}, {__len = function() return 2147483646 end, __index = rawlen, "
        "__newindex = type}))",
        "pcall(string.find, ('a'):rep(30000), ('.-'):rep(20) .. 'b')",
        "pcall(string.match, ('a'):rep(100000), '.-.-.-b')",
        "pcall(string.gsub, ('('):rep(400000), '%b()', '')",
        "pcall(string.rep, 'x', -1) pcall(string.format, '%99999d', 1)",
    };
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        double start = base_now();
        outcome(calls[i], 8 << 20, 1, NULL);
        if (base_now() - start > 3) fail_msg("%s\n  took %.1f s", calls[i], base_now() - start);
    }
}

static void test_memory(void **state) {
    (void)state;
    static const char *const bombs[] = {
        "local t = {} while true do t[#t + 1] = {} end",
        "local s = 'x' while true do s = s .. s end",
        "return ('x'):rep(1 << 30)",
        "local t = {} for i = 1, 1 << 40 do t[i] = i end",
        "local t = {} for i = 1, 1000000 do t[i] = coroutine.create(print) end",
        "return ('x'):rep(7000000):gsub('x', ('y'):rep(1000))",
    };
    for (size_t i = 0; i < sizeof bombs / sizeof *bombs; i++) {
        const char *got = outcome(bombs[i], 8 << 20, 5, NULL);
        if (!strstr(got, "memory") && !strstr(got, "stack overflow")) fail_msg("%s\n  gave: %s", bombs[i], got);
    }
    const char *deep = outcome("local function f() return 1 + f() end f()", 0, 20, NULL);
    if (!strstr(deep, "case.lua:1: ") || (!strstr(deep, "stack overflow") && !strstr(deep, "calls itself")))
        fail_msg("recursion gave: %s", deep);
    expect("local t = setmetatable({}, {}) getmetatable(t).__index = function(_, k) return t[k] end return t.x",
           "overflow");
    expect("local s = ('('):rep(100000) assert(load('return ' .. s))", "overflow");
}

static void test_messages(void **state) {
    (void)state;
    static const char *const cases[][2] = {
        {"local a\nlocal b = a + 1",
         "case.lua:2: attempt to perform arithmetic on a nil value (local 'a'), in `local b "
         "= a + 1` (the name has no value here"},
        {"\n\n   error('by hand')", "case.lua:3: by hand, in `error('by hand')`"},
        {"local t = {}\nt.x.y = 1", "case.lua:2: attempt to index a nil value (field 'x')"},
        {"if x = 1 then end", "case.lua:1: 'then' expected near '=', in `if x = 1 then end` (one = sets"},
        {"local t = {1, 2\nprint(t)", "case.lua:2: '}' expected (to close '{' at line 1) near 'print'"},
        {"for i = 1, 2 do", "near <eof>"},
        {"error({message = 'in a table'})", "case.lua:1: in a table"},
        {"error({})", "value of type table"},
        {"error()", "value of type nil"},
        {"error(42)", "case.lua:1: 42"},
        {"error(setmetatable({}, {__tostring = function() error('again') end}))", "value of type table"},
        {"error(setmetatable({}, {__tostring = function() return {} end}))", "value of type table"},
        {"error(setmetatable({}, {__index = function() error('index') end, __name = 3}))", "value of type table"},
        {"local ok, e = pcall(error, 'x') error(e)", "x"},
        {"error('a\\27[31mb\\nc')", "a?[31mb"},
        {"coroutine.yield(1)", "outside a coroutine"},
        {"local s = 'abc' .. nil", "attempt to concatenate a nil value"},
        {"return 'a' + 1", "attempt to add a 'string' with a 'number', in `return 'a' + 1` (text is"},
        {"return 1 < 'a'", "attempt to compare"},
        {"\033Lua", "compiled Lua"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) expect(cases[i][0], cases[i][1]);
    // A line longer than a message is cut.
    base_buf b = {0};
    base_buf_puts(&b, "local a = nil + 1 -- ");
    for (int i = 0; i < 3000; i++) base_buf_puts(&b, "\u00e9");
    assert_true(strlen(outcome(b.text, 0, 1, NULL)) < 400);
    base_buf_free(&b);
}

static void test_cancel(void **state) {
    (void)state;
    base_job job = {0};
    atomic_store(&job.cancel, 1);
    base_err err;
    lua_State *L = script_state_new("recipe", 0, &job);
    assert_true(script_load(L, "case.lua", "while true do pcall(function() while true do end end) end", &err));
    double start = base_now();
    assert_false(script_pcall(L, 0, 0, 0, &err));
    assert_true(base_now() - start < 0.2);
    assert_int_equal(err.status, BASE_CANCELLED);
    script_state_free(L);
}

static int call_back(lua_State *L) {
    base_err err;
    lua_settop(L, 1);
    if (!script_pcall(L, 0, 1, 0.1, &err)) script_raise(L, &err);
    return 1;
}

static void test_nested(void **state) {
    (void)state;
    static const luaL_Reg functions[] = {{"call_back", call_back}, {NULL, NULL}};
    static const char *const cases[][2] = {
        {"assert(call_back(function() return 7 end) == 7)", ""},
        {"call_back(function() error('deep') end)", "deep"},
        {"call_back(function() coroutine.yield(1) end)", "yield"},
        {"coroutine.wrap(function() call_back(function() coroutine.yield(1) end) end)()", "yield"},
        {"call_back(function() while true do end end)", "endless"},
        {"pcall(call_back, function() while true do end end) error('went on')", "endless"},
        {"local function f() call_back(f) end f()", "overflow"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        base_err err = {0};
        lua_State *L = script_state_new("recipe", 0, NULL);
        assert_true(script_register(L, functions, &err));
        assert_true(script_load(L, "case.lua", cases[i][0], &err));
        bool done = script_pcall(L, 0, 0, 2, &err);
        assert_true(done == !*cases[i][1]);
        if (!done && !strstr(err.text, cases[i][1])) fail_msg("%s\n  gave: %s", cases[i][0], err.text);
        assert_int_equal(lua_gettop(L), 0);
        // A state that was too slow once can be used again.
        assert_true(script_load(L, "again.lua", "return 5", &err));
        assert_true(script_pcall(L, 0, 1, 1, &err));
        assert_int_equal(lua_tointeger(L, -1), 5);
        script_state_free(L);
    }
}

// Two runs must walk a table in the same order.
static void test_pairs_order(void **state) {
    (void)state;
    expect("local t = {} for _, k in ipairs{'pear', 'apple', 'fig', 'kiwi', 'date'} do t[k] = 1 end t[2] = 1 t[1] = 1 "
           "t[true] = 1 t[-1.5] = 1 local s = '' for k in pairs(t) do s = s .. tostring(k) .. ' ' end "
           "assert(s == '-1.5 1 2 apple date fig kiwi pear true ', s)",
           "");
    expect("local t = {a = 1, b = 2, c = 3} for k in pairs(t) do t.b = nil assert(k ~= 'b') end", "");
    expect("local t = {} for i = 1, 500 do t[i * 7919 % 501] = i end local last = -1 for k in pairs(t) do assert(k > "
           "last) "
           "last = k end",
           "");
    expect(
        "for k, v in pairs(setmetatable({}, {__pairs = function() return next, {9}, nil end})) do assert(v == 9) end",
        "");
    expect("assert(math.random(1000000) == (function() math.randomseed(1) return math.random(1000000) end)())", "");
}

static void test_require(void **state) {
    (void)state;
    char folder[] = "/tmp/vise-require-XXXXXX";
    assert_non_null(mkdtemp(folder));
    static const char *const files[][2] = {
        {"good.lua", "local m = {} function m.twice(x) return 2 * x end return m"},
        {"nothing.lua", "local x = 1"},
        {"loop.lua", "return require('loop')"},
        {"bad.lua", "return +"},
        {"fails.lua", "\nerror('inside')"},
    };
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char *path = base_join(folder, files[i][0]);
        FILE *f = fopen(path, "w");
        assert_non_null(f);
        fputs(files[i][1], f);
        fclose(f);
        free(path);
    }
    static const char *const cases[][2] = {
        {"assert(require('good').twice(4) == 8 and require('good') == require('good'))", ""},
        {"require('nothing')", "returns nothing"},
        {"require('loop')", "requires itself"},
        {"require('bad')", "bad.lua:1: unexpected symbol near"},
        {"require('fails')", "fails.lua:2: inside"},
        {"require('vise.good')", "there is no"},
    };
    char *main_path = base_join(folder, "main.lua");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        base_err err = {0};
        lua_State *L = script_state_new("recipe", 0, NULL);
        assert_true(script_load(L, main_path, cases[i][0], &err));
        bool done = script_pcall(L, 0, 0, 2, &err);
        if (done ? *cases[i][1] : !strstr(err.text, cases[i][1])) fail_msg("%s\n  gave: %s", cases[i][0], err.text);
        script_state_free(L);
    }
    free(main_path);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char *path = base_join(folder, files[i][0]);
        unlink(path);
        free(path);
    }
    rmdir(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_allowed),      cmocka_unit_test(test_escapes), cmocka_unit_test(test_endless),
        cmocka_unit_test(test_long_c_calls), cmocka_unit_test(test_memory),  cmocka_unit_test(test_messages),
        cmocka_unit_test(test_cancel),       cmocka_unit_test(test_nested),  cmocka_unit_test(test_pairs_order),
        cmocka_unit_test(test_require),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
