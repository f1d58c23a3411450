// SPDX-License-Identifier: MIT
// Small templates and what they render to. Each expectation was made by Python's jinja2 3.1.6 with the
// settings of the transformers package (and lists that may be changed).
#include "template_check.h"

static const char *const context =
    "{\"s\": \"h\303\251llo w\303\266rld\", \"e\": \"\", \"n\": null, \"t\": true, \"f\":"
    " false, \"i\": 3, \"x\": 1.5, \"l\": [3, 1, 2], \"d\": {\"b\": 1, \"A\": 2, \"items\""
    ": 3, \"k y\": \"v\"}, \"m\": [{\"role\": \"user\", \"content\": \"Hi\", \"n\": 2}, {"
    "\"role\": \"tool\", \"content\": \"\", \"n\": 1}, {\"role\": \"User\", \"content\": "
    "\"x y\"}], \"u\": \"a\\tb\\n c  \", \"q\": \"it's \\\"q\\\"\", \"nest\": {\"a\": {\""
    "b\": [1, {\"c\": \"z\"}]}}, \"z\": \"\305\201\303\263d\305\272 \360\237\220\221 <b>&"
    "'\"}";

static const struct {
    const char *source, *wanted; // NULL: an error
} rows[] = {
    {"{{ true }} {{ none }} {{ 1.0 }} {{ 1e20 }} {{ 0.1 + 0.2 }} {{ 1e16 }} {{ 1e15 }} {{ "
     "0.0001 }} {{ 0.00001 }} {{ 123456789.125 }} {{ -0.0 }} {{ 1e-7 }} {{ 5e-324 }} {{ 1."
     "7976931348623157e308 }}",
     "True None 1.0 1e+20 0.30000000000000004 1e+16 1000000000000000.0 0.0001 1e-05 123456"
     "789.125 -0.0 1e-07 5e-324 1.7976931348623157e+308"},
    {"{{ [1, 'a', none, 1.5, true] }} {{ {'a': 1, 2: 'b'} }} {{ (1,) }} {{ () }} {{ (1, 2)"
     " }} {{ q }} {{ [q] }} {{ ['it\\'s'] }} {{ ['a\\nb\\\\'] }} {{ [s, z] }} {{ ['\\x07\\u"
     "200b\\xa0'] }}",
     "[1, 'a', None, 1.5, True] {'a': 1, 2: 'b'} (1,) () (1, 2) it's \"q\" ['it\\'s \"q\"'"
     "] [\"it's\"] ['a\\nb\\\\'] ['h\303\251llo w\303\266rld', \"\305\201\303\263d\305\272"
     " \360\237\220\221 <b>&'\"] ['\\x07\\u200b\\xa0']"},
    {"{{ 7/2 }} {{ 4/2 }} {{ 7//2 }} {{ -7//2 }} {{ -7 % 3 }} {{ 7 % -3 }} {{ 7.5 // 2 }} "
     "{{ -7.5 % 2 }} {{ 2**10 }} {{ 2**-1 }} {{ 2**3**2 }} {{ -2**2 }} {{ 1 + true }} {{ 3"
     " * 'ab' }} {{ [1] * 3 }} {{ 1 - 2 - 3 }}",
     "3.5 2.0 3 -4 2 -2 3.0 0.5 1024 0.5 64 4 2 ababab [1, 1, 1] -4"},
    {"{{ undef }}|{{ undef|length }}|{{ undef or 'z' }}|{{ 'a' ~ undef }}|{{ undef == none"
     " }}|{{ undef is none }}|{{ d.zzz }}|{{ l[9] }}|{{ l[-4] }}|{% for a in undef %}x{% e"
     "lse %}empty{% endfor %}|{{ undef|items|list }}|{{ undef in [1] }}|{{ 'x' in undef }}",
     "|0|z|a|False|False||||empty|[]|False|False"},
    {"{{ undef.attr }}", NULL},
    {"{{ undef + 'a' }}", NULL},
    {"{{ undef['a'] }}", NULL},
    {"{{ undef() }}", NULL},
    {"{{ n + 'a' }}", NULL},
    {"{{ 'a' ~ none ~ 1 ~ 1.5 ~ true ~ [1] }}", "aNone11.5True[1]"},
    {"{{ 'x' in none }}", NULL},
    {"{{ 1 in 'abc' }}", NULL},
    {"{{ none is iterable }} {{ undef is iterable }} {{ 1 is iterable }} {{ 'a' is iterabl"
     "e }} {{ l is sequence }} {{ d is sequence }} {{ s is sequence }} {{ undef is sequenc"
     "e }} {{ d is mapping }} {{ l is mapping }} {{ (1,) is sequence }} {{ range(2) is seq"
     "uence }} {{ d.items() is sequence }} {{ d.items() is iterable }}",
     "False True False True True True True True True False True True False True"},
    {"{{ 1 is number }} {{ true is number }} {{ 1.0 is number }} {{ true is integer }} {{ "
     "1 is integer }} {{ 1.0 is float }} {{ 1 is true }} {{ true is true }} {{ false is fa"
     "lse }} {{ t is boolean }} {{ 0 is boolean }} {{ none is none }} {{ 'a' is string }} "
     "{{ 3 is odd }} {{ 4 is even }} {{ 9 is divisibleby 3 }} {{ 'abc' is lower }} {{ 'ABC"
     "' is upper }} {{ 1 is in [1,2] }} {{ 2 is eq 2 }} {{ 1 is lt 2 }} {{ range is callab"
     "le }} {{ 'upper' is filter }} {{ 'nope' is filter }} {{ 'defined' is test }}",
     "True True True False True True False True True True False True True True True True T"
     "rue True True True True True True False True"},
    {"{{ undef|default('x') }}|{{ none|default('x') }}|{{ ''|default('x') }}|{{ ''|default"
     "('x', true) }}|{{ none|default('x', boolean=true) }}|{{ d.zz|default(d.b) }}|{{ unde"
     "f|default }}|{{ undef|d(5) }}",
     "x|None||x|x|1||5"},
    {"{{ 0 or 'a' }} {{ 1 and 'b' }} {{ '' and 1 }}| {{ not 1 == 2 }} {{ not true and fals"
     "e }} {{ 1 if 0 }} {{ 1 if 1 else 2 }} {{ 'a' if false else 'b' if false else 'c' }}",
     "a b | True False  1 c"},
    {"{% set a = 1 %}{% for b in l %}{% set a = b %}{{ a }}{% endfor %}{{ a }}{% if true %"
     "}{% set a = 5 %}{% endif %}{{ a }}",
     "31215"},
    {"{% set ns = namespace(a=1, l=[]) %}{% for b in l %}{% set ns.a = ns.a + b %}{% set n"
     "s.l = ns.l + [b] %}{% endfor %}{{ ns.a }} {{ ns.l }} {{ ns.zz is defined }}",
     "7 [3, 1, 2] False"},
    {"{% set d.x = 1 %}", NULL},
    {"{% macro m(a, b=2, c=a) %}[{{ a }},{{ b }},{{ c }}]{% endmacro %}{{ m(1) }}{{ m(1, c"
     "=3) }}{{ m(b=5) }}{{ m(1, 2, 3) }}",
     "[1,2,1][1,2,3][,5,][1,2,3]"},
    {"{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1, 2) }}", NULL},
    {"{% macro m(a) %}{{ a }}{% endmacro %}{{ m(b=2) }}", NULL},
    {"{% macro m() %}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1, 2, x=3) }}", "(1, 2){'x': 3}"},
    {"{% macro fact(k) %}{% if k > 1 %}{{ k }}*{{ fact(k - 1) }}{% else %}1{% endif %}{% e"
     "ndmacro %}{{ fact(5) }}",
     "5*4*3*2*1"},
    {"{% macro m() %}{{ later }}{{ outer is defined }}{% endmacro %}{% set later = 3 %}{% "
     "for outer in [1] %}{{ m() }}{% endfor %}",
     "3False"},
    {"{% macro m() %}<{{ caller('x') }}>{% endmacro %}{% call(y) m() %}body {{ y }}{% endc"
     "all %}",
     "<body x>"},
    {"{% macro m(x) %}{{ caller is defined }}{% if caller is defined %}{{ caller() }}{% en"
     "dif %}{% endmacro %}{{ m(1) }}{% call m(2) %}B{% endcall %}",
     "FalseTrueB"},
    {"{% set x %}a{{ 1 }}{% endset %}{{ x|upper }} {% set y | upper | trim %} b {% endset "
     "%}[{{ y }}]",
     "A1 [B]"},
    {"{% filter upper %}abc {{ s }}{% endfilter %} {% filter replace('a', 'b')|upper %}aXa"
     "{% endfilter %}",
     "ABC H\303\211LLO W\303\226RLD BXB"},
    {"{% with a = 1, b = 2 %}{{ a + b }}{% endwith %}{{ a is defined }}", "3False"},
    {"{% generation %}gen {{ i }}{% set hidden = 1 %}{% endgeneration %}{{ hidden is defin"
     "ed }}",
     "gen 3False"},
    {"{% raw %}{{ not }} {% x %}{% endraw %} {%- raw -%}  y  {%- endraw %} z", "{{ not }} {% x %}y z"},
    {"{% for a in l %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex"
     "0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ loop.previtem }}{{ loop.nexti"
     "tem }}{{ loop.depth }}{{ loop.cycle('a', 'b') }}{{ loop.changed(a > 1) }};{% endfor "
     "%}",
     "1032TrueFalse311aTrue;2121FalseFalse3321bTrue;3210FalseTrue311aTrue;"},
    {"{% for a in range(10) if a % 3 == 0 %}{{ loop.index }}/{{ loop.length }}:{{ a }}{% i"
     "f not loop.last %},{% endif %}{% else %}none{% endfor %}",
     "1/4:0,2/4:3,3/4:6,4/4:9"},
    {"{% for a in [] %}x{% else %}nothing{% endfor %}{% for a in l if a > 5 %}x{% else %}n"
     "one left{% endfor %}",
     "nothingnone left"},
    {"{% set ns = namespace(stop=false) %}{% for a in range(6) if not ns.stop %}{{ a }}{% "
     "if a == 2 %}{% set ns.stop = true %}{% endif %}{% endfor %}",
     "012"},
    {"{% for a in l %}{% if a == 1 %}{% continue %}{% endif %}{{ a }}{% endfor %}|{% for a"
     " in range(9) %}{% if a == 3 %}{% break %}{% endif %}{{ a }}{% endfor %}",
     "32|012"},
    {"{% for k in d %}{{ k }},{% endfor %} {% for k, v in d.items() %}{{ k }}={{ v }};{% e"
     "ndfor %} {% for k, v in d|items %}{{ k }}{% endfor %} {% for k, v in d|dictsort %}{{"
     " k }}{% endfor %} {% for k, v in d|dictsort(true) %}{{ k }}{% endfor %}",
     "b,A,items,k y, b=1;A=2;items=3;k y=v; bAitemsk y Abitemsk y Abitemsk y"},
    {"{% for a, b in [(1, 2), (3, 4)] %}{{ a }}{{ b }}{% endfor %} {% set a, b = 1, 2 %}{{"
     " a }}{{ b }} {% for c in 'h\303\251y' %}[{{ c }}]{% endfor %}",
     "1234 12 [h][\303\251][y]"},
    {"{% for a, b in [(1, 2, 3)] %}{{ a }}{% endfor %}", NULL},
    {"{% for a in n %}{% endfor %}", NULL},
    {"{% for a in 5 %}{% endfor %}", NULL},
    {"{{ s[0] }} {{ s[-1] }} {{ s[1:3] }} {{ s[::-1] }} {{ s[:-1] }} {{ s[-3:] }} {{ s[::2"
     "] }} {{ s[100:] }}|{{ s[-100:2] }} {{ l[1:] }} {{ l[::-1] }} {{ l[:1] }} {{ l[5:] }}"
     " {{ (1, 2, 3)[1:] }} {{ s|length }} {{ s[4:1:-1] }} {{ s[:-99:-1] }} {{ l[-1:0:-1] }"
     "} {{ range(5)[1:3]|list }}",
     "h d \303\251l dlr\303\266w oll\303\251h h\303\251llo w\303\266rl rld hlowrd |h\303\251"
     " [1, 2] [2, 1, 3] [3] [] (2, 3) 11 oll dlr\303\266w oll\303\251h [2, 1] [1, 2]"},
    {"{{ l['a':] }}", NULL},
    {"{{ l[::0] }}", NULL},
    {"{{ 'lo' in s }} {{ 'A' in d }} {{ 3 in l }} {{ 9 not in l }} {{ '' in 'a' }} {{ 1.0 "
     "in l }} {{ (1, 2) in [(1, 2)] }} {{ 'x' in ['x'] }} {{ undef in l }}",
     "True True True True True True True True False"},
    {"{{ 1 == 1.0 }} {{ true == 1 }} {{ '1' == 1 }} {{ [1, 2] == [1, 2] }} {{ {'a': 1, 'b'"
     ": 2} == {'b': 2, 'a': 1} }} {{ (1,) == [1] }} {{ none == none }} {{ 1 < 2 < 3 }} {{ "
     "1 < 2 > 5 }} {{ 'a' < 'b' }} {{ [1, 2] < [1, 3] }} {{ 'Z' < 'a' }} {{ 2 >= 2 }} {{ u"
     "ndef == undef2 }} {{ d.zz != none }}",
     "True True False True True False True True False True True True True True True"},
    {"{{ 1 < 'a' }}", NULL},
    {"{{ none < 1 }}", NULL},
    {"{{ 'a b  c '.split() }} {{ 'a b  c '.split(' ') }} {{ ''.split('x') }} {{ ''.split()"
     " }} {{ 'a,b,c'.split(',', 1) }} {{ ' a b c'.split(none, 1) }} {{ 'a</think>b'.split("
     "'</think>')[-1] }} {{ 'a,b,c'.rsplit(',', 1) }} {{ ' a b c '.rsplit(none, 1) }}",
     "['a', 'b', 'c'] ['a', 'b', '', 'c', ''] [''] [] ['a', 'b,c'] ['a', 'b c'] b ['a,b', "
     "'c'] [' a b', 'c']"},
    {"{{ 'abc'.split('') }}", NULL},
    {"{{ 'a-b-c'.partition('-') }} {{ 'a-b-c'.rpartition('-') }} {{ 'abc'.partition('x') }"
     "} {{ 'abc'.rpartition('x') }} {{ 'a\\nb\\r\\nc'.splitlines() }}",
     "('a', '-', 'b-c') ('a-b', '-', 'c') ('abc', '', '') ('', '', 'abc') ['a', 'b', 'c']"},
    {"[{{ '  a '.strip() }}] [{{ '\\u00a0\\u3000a'.strip() }}] [{{ 'xxaxx'.strip('x') }}] "
     "[{{ 'abcba'.lstrip('ab') }}] [{{ 'a\\n\\n'.rstrip() }}] [{{ '\303\251a\303\251'.stri"
     "p('\303\251') }}] [{{ ' a '.lstrip(none) }}] [{{ u|trim }}] [{{ 5|trim }}] [{{ 'xax'"
     "|trim('x') }}]",
     "[a] [a] [a] [cba] [a] [a] [a ] [a\tb\n c] [5] [a]"},
    {"{{ 'aXbX'.replace('X', '-') }} {{ 'aXbX'.replace('X', '-', 1) }} {{ 'ab'.replace('',"
     " '-') }} {{ 'aa'|replace('a', 'b') }} {{ 'aa'|replace('a', 'b', 1) }} {{ 'h\303\251\303"
     "\251'.replace('', '.', 2) }} {{ 5|replace(5, 6) }}",
     "a-b- a-bX -a-b- bb ba .h.\303\251\303\251 6"},
    {"{{ 'abc'.startswith('ab') }} {{ 'abc'.endswith(('x', 'c')) }} {{ 'abc'.startswith(''"
     ") }} {{ 'abc'.find('c') }} {{ '\303\251c'.find('c') }} {{ 'abcb'.rfind('b') }} {{ 'a"
     "aa'.count('a') }} {{ 'abc'.find('z') }} {{ 'abc'.index('b') }} {{ '\303\251'.count('"
     "') }}",
     "True True True 2 1 3 3 -1 1 2"},
    {"{{ 'abc'.index('z') }}", NULL},
    {"{{ 'hello world'.title() }} {{ \"they're bill's\".title() }} {{ 'hELLO'.capitalize()"
     " }} {{ 'stra\303\237e \305\211 \357\254\201'.upper() }} {{ '\316\221\316\243 \316\221"
     "\316\243\316\221 \304\260'.lower() }} {{ 'aB'.swapcase() }} {{ '\307\206 \303\237'.t"
     "itle() }} {{ 'hello-world (foo'|title }} {{ 'aBC dE'|capitalize }} {{ '\303\211'|low"
     "er }} {{ '\303\251'|upper }}",
     "Hello World They'Re Bill'S Hello STRASSE \312\274N FI \316\261\317\202 \316\261\317\203"
     "\316\261 i\314\207 Ab \307\205 Ss Hello-World (Foo Abc de \303\251 \303\211"},
    {"{{ 'a'.isalpha() }} {{ '12'.isdigit() }} {{ 'a1'.isalnum() }} {{ ' '.isspace() }} {{"
     " ''.isdigit() }} {{ 'Ab'.isupper() }} {{ 'ab1'.islower() }} {{ '7'.zfill(3) }} {{ '-"
     "7'.zfill(4) }} [{{ 'a'.ljust(3) }}] [{{ 'a'.rjust(3, '.') }}] [{{ 'ab'.center(5) }}]"
     " [{{ 'a'.center(4) }}] [{{ 'ab'|center(5) }}] {{ 'abc'.removeprefix('a') }} {{ 'abc'"
     ".removesuffix('c') }}",
     "True True True True False False True 007 -007 [a  ] [..a] [  ab ] [ a  ] [  ab ] bc "
     "ab"},
    {"{{ '{} {}'.format(1, 'a') }} {{ '{0}{1}{0}'.format('x', 'y') }} {{ '{a}'.format(a=5)"
     " }} {{ '{{}}'.format() }} {{ '-'.join(['a', 'b']) }} {{ '%s is %d %5.2f %%' % ('x', "
     "3, 1.5) }} {{ '%s'|format('y') }} {{ '%r' % ('a',) }} {{ '%03d' % 7 }}",
     "1 a xyx 5 {} a-b x is 3  1.50 % y 'a' 007"},
    {"{{ '-'.join([1]) }}", NULL},
    {"{{ '%d' % 'a' }}", NULL},
    {"{{ [1, 2]|join }} {{ [1, none, 'a']|join(', ') }} {{ m|join('|', attribute='role') }"
     "} {{ [undef, 1]|join('-') }} {{ 'abc'|join('.') }} {{ d|join(',') }}",
     "12 1, None, a user|tool|User -1 a.b.c b,A,items,k y"},
    {"{{ d|tojson }} {{ z|tojson }} {{ z|tojson(ensure_ascii=true) }} {{ [1.0, 1e16, 1e-7,"
     " none, true]|tojson }} {{ \"\\x7f\\x01\\n\\t\\\"\\\\/\"|tojson }} {{ []|tojson(inden"
     "t=2) }} {{ {}|tojson(indent=2) }} {{ {1: 2, none: 3, true: 4, 1.5: 5}|tojson }}",
     "{\"b\": 1, \"A\": 2, \"items\": 3, \"k y\": \"v\"} \"\305\201\303\263d\305\272 \360\237"
     "\220\221 <b>&'\" \"\\u0141\\u00f3d\\u017a \\ud83d\\udc11 <b>&'\" [1.0, 1e+16, 1e-07,"
     " null, true] \"\177\\u0001\\n\\t\\\"\\\\/\" [] {} {\"1\": 4, \"null\": 3, \"1.5\": 5"
     "}"},
    {"{{ nest|tojson(indent=4) }} {{ nest|tojson(separators=(',', ':')) }} {{ {'b': 1, 'a'"
     ": 2}|tojson(sort_keys=true) }} {{ l|tojson(indent='--') }} {{ (1, 2)|tojson }} {{ ne"
     "st|tojson(indent=2, separators=(',', ': ')) }} {{ l|tojson(indent=0) }}",
     "{\n    \"a\": {\n        \"b\": [\n            1,\n            {\n                \""
     "c\": \"z\"\n            }\n        ]\n    }\n} {\"a\":{\"b\":[1,{\"c\":\"z\"}]}} {\""
     "a\": 2, \"b\": 1} [\n--3,\n--1,\n--2\n] [1, 2] {\n  \"a\": {\n    \"b\": [\n      1,"
     "\n      {\n        \"c\": \"z\"\n      }\n    ]\n  }\n} [\n3,\n1,\n2\n]"},
    {"{{ undef|tojson }}", NULL},
    {"{{ (m|selectattr('n'))|tojson }}", NULL},
    {"{{ range(3)|tojson }}", NULL},
    {"{{ true|string }} {{ 1.0|string }} {{ none|string }} {{ '12'|int }} {{ 'x'|int }} {{"
     " '1.5'|int }} {{ 3.7|int }} {{ -3.7|int }} {{ 'x'|int(5) }} {{ 'ff'|int(0, 16) }} {{"
     " ' 7 '|int }} {{ '1_0'|int }} {{ none|int }} {{ '1.5'|float }} {{ 'a'|float }} {{ 'a"
     "'|float(2.5) }} {{ 3|float }} {{ true|int }} {{ '0x1A'|int(0, 16) }} {{ '1e3'|int }}"
     " {{ '1e3'|float }}",
     "True 1.0 None 12 0 1 3 -3 5 255 7 10 0 1.5 0.0 2.5 3.0 1 26 1000 1000.0"},
    {"{{ undef|int }}", NULL},
    {"{{ 'a\\nb\\n\\nc'|indent }} {{ 'a\\nb'|indent(2, true) }} {{ 'a\\n\\nb'|indent(2, bl"
     "ank=true) }} {{ 'a\\nb'|indent('> ') }} {{ 'a\\n'|indent(2) }}|{{ ''|indent }}",
     "a\n    b\n\n    c   a\n  b a\n  \n  b a\n> b a\n|"},
    {"{{ m|selectattr('n')|list|length }} {{ m|selectattr('role', 'equalto', 'user')|map(a"
     "ttribute='content')|list }} {{ m|selectattr('n', 'defined')|map(attribute='n')|list "
     "}} {{ m|rejectattr('n', 'defined')|list }} {{ [1, 0, 2]|select|list }} {{ [1, 2, 3]|"
     "select('odd')|list }} {{ [1, 2, 3]|reject('gt', 1)|list }} {{ ['a', 'b']|map('upper'"
     ")|list }} {{ m|map(attribute='n', default=0)|list }} {{ m|map(attribute='n')|list }}"
     " {{ m|selectattr('role', 'in', ['user'])|list|length }} {{ none|selectattr('x')|list"
     " }} {{ [{'a': {'b': 5}}]|map(attribute='a.b')|list }} {{ [[1, 2]]|map(attribute=1)|l"
     "ist }} {{ [' a ']|map('trim')|join }} {{ ['ab']|map('replace', 'a', 'x')|list }}",
     "2 ['Hi'] [2, 1] [{'role': 'User', 'content': 'x y'}] [1, 2] [1, 3] [1] ['A', 'B'] [2"
     ", 1, 0] [2, 1, Undefined] 1 [] [5] [2] a ['xb']"},
    {"{{ m|selectattr('n')|length }}", NULL},
    {"{{ (m|selectattr('n'))[0] }}", ""},
    {"{{ l|map('nope')|list }}", NULL},
    {"{{ l|sort }} {{ ['b', 'A', 'c']|sort }} {{ ['b', 'A']|sort(case_sensitive=true) }} {"
     "{ l|sort(reverse=true) }} {{ m|sort(attribute='role')|map(attribute='role')|list }} "
     "{{ ['a', 'A', 'b']|unique|list }} {{ l|min }} {{ l|max }} {{ ['b', 'A']|min }} {{ m|"
     "map(attribute='role')|unique|list }} {{ []|min }} {{ l|sum }} {{ m[:2]|sum(attribute"
     "='n') }} {{ m[:2]|max(attribute='n') }} {{ {'x': 3, 'y': 1}|dictsort(by='value') }} "
     "{{ d|dictsort(reverse=true) }}",
     "[1, 2, 3] ['A', 'b', 'c'] ['A', 'b'] [3, 2, 1] ['tool', 'user', 'User'] ['a', 'b'] 1"
     " 3 A ['user', 'tool']  6 3 {'role': 'user', 'content': 'Hi', 'n': 2} [('y', 1), ('x'"
     ", 3)] [('k y', 'v'), ('items', 3), ('b', 1), ('A', 2)]"},
    {"{{ [1, 'a']|sort }}", NULL},
    {"{{ l|first }} {{ l|last }} {{ []|first }} {{ 'abc'|first }} {{ 'abc'|last }} {{ l|re"
     "verse|list }} {{ 'h\303\251y'|reverse }} {{ 'abc'|list }} {{ d|list }} {{ d|length }"
     "} {{ d|count }} {{ range(5)|list }} {{ range(1, 5, 2)|list }} {{ range(5, 0, -2)|lis"
     "t }} {{ range(3)|length }} {{ [1, 2, 3]|batch(2)|list }} {{ [1, 2, 3]|batch(2, 0)|li"
     "st }} {{ dict(a=1, b=2) }} {{ dict([('x', 1)], y=2) }} {{ dict({'q': 1}) }}",
     "3 2  a c [2, 1, 3] y\303\251h ['a', 'b', 'c'] ['b', 'A', 'items', 'k y'] 4 4 [0, 1, "
     "2, 3, 4] [1, 3] [5, 3, 1] 3 [[1, 2], [3]] [[1, 2], [3, 0]] {'a': 1, 'b': 2} {'x': 1,"
     " 'y': 2} {'q': 1}"},
    {"{{ 5|length }}", NULL},
    {"{{ none|length }}", NULL},
    {"{{ -5|abs }} {{ (-5)|abs }} {{ 2.5|round }} {{ 3.5|round }} {{ 2.675|round(2) }} {{ "
     "42|round }} {{ 2.1|round(0, 'ceil') }} {{ 2.9|round(method='floor') }} {{ 2.25|round"
     "(1, 'ceil') }} {{ 'abcdef ghij klm'|truncate(9) }} {{ 'abcdefghijklmnop'|truncate(5,"
     " true) }} {{ 'abc def ghi jkl'|truncate(8, false, '..', 0) }} {{ 'x'|truncate(5) }}",
     "5 5 2.0 4.0 2.67 42 3.0 2.0 2.3 abcdef... ab... abc.. x"},
    {"{{ d.items }}", NULL},
    {"{{ d['items'] }} {{ d.b }} {{ d.A }} {{ d['k y'] }} {{ d.get('b') }} {{ d.get('zz') "
     "}} {{ d.get('zz', 5) }} {{ d.keys()|list }} {{ d.values()|list }} {{ nest.a.b[1].c }"
     "} {{ nest['a']['b'][0] }} {{ nest.a.b.1.c }} {{ d.items()|length }} {{ d.items()|lis"
     "t }} {{ d['get']('b') }} {{ m[0]['role'] }} {{ m.0.role }} {{ d|attr('b') }}",
     "3 1 2 v 1 None 5 ['b', 'A', 'items', 'k y'] [1, 2, 3, 'v'] z 1 z 4 [('b', 1), ('A', "
     "2), ('items', 3), ('k y', 'v')] 1 user user "},
    {"{{ nest.zz.a }}", NULL},
    {"{% set l2 = [1] %}{% set _ = l2.append(2) %}{% set p = l2.pop(0) %}{{ l2 }}{{ p }}{%"
     " set _ = l2.insert(0, 9) %}{{ l2 }}{{ l2.index(2) }}{{ l2.count(9) }}{% set _ = l2.e"
     "xtend([7, 8]) %}{{ l2 }}{{ l2.pop() }}{{ l2.pop(1) }}{{ l2 }}{% set a = l2 + [5] %}{"
     "% set _ = l2.append(6) %}{{ a }}{{ l2 }}{% set d2 = {'a': 1} %}{% set _ = d2.update("
     "{'b': 2}, c=3) %}{{ d2 }}{{ d2.pop('a') }}{{ d2 }}{{ d2.setdefault('z', 4) }}{{ d2 }"
     "}",
     "[2]1[9, 2]11[9, 2, 7, 8]82[9, 7][9, 7, 5][9, 7, 6]{'a': 1, 'b': 2, 'c': 3}1{'b': 2, "
     "'c': 3}4{'b': 2, 'c': 3, 'z': 4}"},
    {"{{ raise_exception('no ' ~ i) }}", NULL},
    {"{{ strftime_now('%Y-%m-%d') }} {{ strftime_now('%d %b %Y') }} {{ strftime_now('%B %d"
     ", %Y') }} {{ strftime_now('%H:%M:%S %A %j %-d') }}",
     "2026-01-02 02 Jan 2026 January 02, 2026 03:04:05 Friday 002 2"},
    {"{{ '{\"a\": [1, 2.5, \"x\", null, true]}'|from_json }} {{ ('{\"a\": {\"b\": 1}}'|fro"
     "m_json).a.b }} {{ '[]'|from_json }}",
     "{'a': [1, 2.5, 'x', None, True]} 1 []"},
    {"{{ ('<a>'|safe) + '<b>\"' }} {{ '<' + ('<'|safe) }} {{ '<a>'|e }} {{ '<a>'|safe|e }}"
     " {{ ('<'|safe) ~ '<' }} {{ ('<a>'|safe)|upper + '<' }} {{ ['<'|safe, '<']|join }} {{"
     " ('<'|safe)|string + '&' }} {{ ('<'|safe)|tojson + '<' }} {{ ' <b> '|safe|trim + '\""
     "' }}",
     "<a>&lt;b&gt;&#34; &lt;< &lt;a&gt; <a> << <A>&lt; << <&amp; \"<\"< <b>&#34;"},
    {"{{ 1|string ~ 2 }} {{ -1|string }} {{ - 1 }} {{ +1 }} {{ (1).real is defined or true"
     " }} {{ 1_000 }} {{ 0x1F }} {{ 0b11 }} {{ 0o17 }} {{ 1.5e3 }} {{ 1e2 }} {{ not not 1 "
     "}} {{ 10 // 3 * 3 }} {{ 2 * 3 ~ 4 }}",
     "12 -1 -1 1 True 1000 31 3 15 1500.0 100.0 True 9 64"},
    {"{{ 'a' ~ 1 + 2 }}", NULL},
    {"{{ {'a': 1}['a'] }} {{ {'a': {'b': 2}}.a.b }} {{ [[1, 2], [3]][0][1] }} {{ {}|length"
     " }} {{ {'a': 1,} }} {{ [1,] }} {{ {1: 'a', 1.0: 'b', true: 'c'} }} {{ {(1, 2): 3} }}",
     "1 2 2 0 {'a': 1} [1] {1: 'c'} {(1, 2): 3}"},
    {"{{ {[1]: 2} }}", NULL},
    {"{{ [d][0].b if d else 'no' }} {{ (i > 2) and 'big' }} {{ i is not none and i is numb"
     "er }} {{ i is defined and not undef is defined }} {{ s is string and s|length > 3 }}"
     " {{ m[0].role == 'user' and m[-1].role != 'user' }} {{ l is iterable and l is not st"
     "ring and l is not mapping }}",
     "1 big True True True True True"},
    {"{{ 'trailing' }}", "trailing"},
    {"{{ '%}' }}{{ '}}' }}{{ {'a': {'b': 1}} }}{{ {'a': {}}}}", "%}}}{'a': {'b': 1}}{'a': {}}"},
    {"{{ [1, 2, 3] | last }}{{ (1, 2)|first }}{{ x if x is defined else 'y' }}{{ 'abc'|len"
     "gth > 2 }}{{ l|length - 1 }}{{ l|join(',')|upper ~ '!' }}",
     "311.5True23,1,2!"},
    {"{{ 'x'.zzz }}{{ 'x'.zzz is defined }}{{ 5.zzz is defined }}{{ l.zzz }}{{ n.zzz }}{{ "
     "n is defined }}{{ m[0].zzz is not defined }}",
     "FalseFalseTrueTrue"},
    {"{{ loop is defined }}{% for a in [1] %}{% for b in [1, 2] %}{{ loop.index }}{% endfo"
     "r %}{{ loop.index }}{% endfor %}",
     "False121"},
    {"{% set x = namespace(v=0) %}{% macro inc() %}{% set x.v = x.v + 1 %}{% endmacro %}{{"
     " inc() }}{{ inc() }}{{ x.v }}",
     "2"},
    {"{% for a in l %}{% macro q() %}{{ a }}{% endmacro %}{{ q() }}{% endfor %}", "312"},
    {"{% if undef %}a{% elif 0 %}b{% elif '' %}c{% elif [] %}d{% elif {} %}e{% else %}f{% "
     "endif %}{% if l|select('gt', 9) %}gen{% endif %}",
     "fgen"},
    {"{{ s.foo.bar }}", NULL},
    {"{{ i.x }}{{ i[0] is defined }}{{ i['a'] is defined }}", "FalseFalse"},
    {"{{ 1 / 0 }}", NULL},
    {"{{ l + (1,) }}", NULL},
    {"{{ 'a' + 1 }}", NULL},
    {"{{ d + d }}", NULL},
    {"{{ 'a' * 'b' }}", NULL},
    {"{{ s() }}", NULL},
    {"{{ l|upper }} {{ none|upper }} {{ 5|string|length }} {{ [1]|string }} {{ d|string|le"
     "ngth }}",
     "[3, 1, 2] NONE 1 [1] 40"},
    {"{{ m|map(attribute='role')|join(', ') }} {{ m|map(attribute='content')|select|list }"
     "} {{ (m|first).role }} {{ (m|last)['role'] }} {{ m|length }} {{ m[1:]|length }} {{ m"
     "[1:][0].role }}",
     "user, tool, User ['Hi', 'x y'] user User 3 2 tool"},
    {"{{ (l|sort)[0] }} {{ (l|list).index(2) }} {{ l|sort|join }} {{ l|reverse|first }} {{"
     " l|map('string')|list }} {{ l|map('multiply') if false else 'lazy' }}",
     "1 2 123 2 ['3', '1', '2'] lazy"},
    {"{{ 'a=%s b=%s' % (1, [2]) }} {{ '%s' % none }} {{ '%s' % l }} {{ '%-5s|' % 'a' if fa"
     "lse }} {{ 'ab' ~ ('c' if false) ~ 'd' }}",
     "a=1 b=[2] None [3, 1, 2]  abd"},
    {"{%- for message in m %}{{ message['role'] + ': ' + message.content|trim + '\\n' }}{%"
     " endfor %}",
     "user: Hi\ntool: \nUser: x y\n"},
    {"{% set content = m[0].content %}{% if content is string %}S{% else %}{% for c in con"
     "tent %}{{ c }}{% endfor %}{% endif %}{% set loop_messages = m[1:] %}{{ loop_messages"
     "|length }}",
     "S2"},
    {"{% for k, v in {'a': 1}.items() %}{{ loop.index }}{{ k }}{{ v }}{% endfor %}{{ {'a':"
     " [1, 2]}.a|length }}{{ {'a': none}.a is none }}{{ {'a': none}.b is none }}",
     "1a12TrueFalse"},
    {"{{ 'a\\tb\\\\n\\x41\\u00e9\\q\\'\\\"' }} {{ \"a'b\" }} {{ 'a' 'b' \"c\" }} {{ 'multi"
     "\nline' }} {{ '\\101\\0'|length }} {{ \"\\\nx\" }}",
     "a\tb\\nA\303\251\\q'\" a'b abc multi\nline 2 x"},
    {"a {%- if true -%} b {%- endif -%} c {{- 1 -}} d {#- c -#} e", "abc1de"},
    {"  {% if true %}\nx\n  {% endif %}\ny {# c #}\n  {# c #}\nz\n", "x\ny z"},
    {"{%+ if true %}  a{% endif +%}\nb\n  {{ 1 }}\n\t{%- set a = 1 +%}\n {{+ 2 }}\n\n", "  a\nb\n  1\n 2\n"},
    {"a\r\nb\rc\n", "a\nb\nc"},
    {"{% if true %}\r\nx{% endif %}\n\n", "x"},
    {"  {%+ set a = 1 %}\nx\n {%- set b = 2 %} y\n", "  x y"},
    {"a\n  {#- c #}\nb\n   {# c +#}\nc", "ab\n\nc"},
    {"x {{ 1 -}}\n\n  y {{- 2 }} z\n{{ 3 }}\nw", "x 1y2 z\n3\nw"},
    {"{% for a in l %}\n  {% if a > 1 %}\n    {{ a }}\n  {% endif %}\n{% endfor %}\nend",
     "    3\n    2\nend"},
    {"{%- for a in l -%}\n  {{ a }}\n{%- endfor -%}\n  end", "312end"},
    {"a{# x\n y #}\nb", "ab"},
    {"{% raw %}\n {{ x }}\n{% endraw %}\nb", "\n {{ x }}\nb"},
    {"  {%- raw %}  a\n  {% endraw -%}  \nb", "  a\nb"},
    {" \t{% if 1 %}\302\240{%- endif %}\343\200\200{{- 1 }}", "1"},
    {"{{ '''' }}", ""},
    {"{{ \"a\" \n 'b' }}\n{{ l[\n0] }}", "ab\n3"},
};

static int check_row(const json_t *variables, const char *source, const char *wanted)
{
    struct template *t = NULL;
    struct strbuf out = STRBUF_INIT(1 << 20);
    struct err err = {0};
    struct template_input in = {
        .extra = variables, .bos_token = slice_of(""), .eos_token = slice_of(""), .now_s = TEMPLATE_CLOCK};
    int rc = template_new(&t, slice_of(source), &err);
    if (rc == 0)
        rc = template_render(t, &in, &out, &err);
    bool is_right = wanted == NULL ? rc != 0 : rc == 0 && strcmp(strbuf_text(&out), wanted) == 0;
    if (!is_right)
        printf("%s\n  wanted %s\n  got    %s\n", source, wanted ? wanted : "an error",
               rc == 0 ? strbuf_text(&out) : err.message);
    strbuf_fini(&out);
    template_free(t);
    return !is_right;
}

static void rows_render_as_jinja2_does(void **state)
{
    json_t *variables = json_loads(context, 0, NULL);
    int n_wrong = 0;
    assert_non_null(variables);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        n_wrong += check_row(variables, rows[i].source, rows[i].wanted);
    json_decref(variables);
    assert_int_equal(n_wrong, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(rows_render_as_jinja2_does)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
