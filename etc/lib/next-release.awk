# Rewrites Debian's own entries of an apt source file for the next release, as deb822 stanzas.
# Usage: awk -v codename=bookworm -v following=trixie -f next-release.awk URIS FILE
#
# URIS names the archives that are Debian's own, one a line, in apt's spelling. FILE is either in deb822 format,
# if its name ends in .sources, or has an entry a line. Suites become those of the next release, components
# become main; keys and what else decides about trust are kept as they are; all other entries are left out.

BEGIN {
    split("signed-by trusted check-valid-until check-date", kept_names, " ")
    for (i in kept_names) keep[kept_names[i]]
    stanzas = ARGV[2] ~ /\.sources$/
}

FNR == NR { ours[$1]; next }
/^[ \t]*#/ { next }
stanzas && /^[ \t]*$/ { end_stanza(); next }
stanzas && /^[ \t]/ { continue_field($0); next }
stanzas { begin_field($0); next }
$1 == "deb" { one_line_entry($0) }
END { if (stanzas) end_stanza() }

function begin_field(line)
{
    name = tolower(line)
    sub(/[ \t]*:.*/, "", name)
    sub(/^[^:]*:/, "", line)
    field[name] = line
}

function continue_field(line)
{
    field[name] = field[name] "\n" line
}

function end_stanza()
{
    if (has_word(field["types"], "deb") && tolower(field["enabled"]) !~ /^[ \t]*(no|false|without|off|disable|0)/)
        print_entry(field["uris"], field["suites"], field["components"])
    split("", field)
    name = ""
}

# deb [option=value ...] URI suite component...
function one_line_entry(line,    options, option, count, i, word)
{
    sub(/[ \t]#.*/, "", line)
    split("", field)
    if (match(line, /\[[^]]*\]/)) {
        options = substr(line, RSTART + 1, RLENGTH - 2)
        line = substr(line, 1, RSTART - 1) substr(line, RSTART + RLENGTH)
        count = split(options, option, /[ \t]+/)
        for (i = 1; i <= count; i++)
            begin_field(as_field(option[i]))
    }
    count = split(line, word, /[ \t]+/)
    options = ""
    for (i = 4; i <= count; i++) options = options " " word[i]
    print_entry(word[2], word[3], options)
}

function as_field(option)
{
    sub(/=/, ": ", option)
    return option
}

function print_entry(uris, suites, components,    own_uris, own_suites, i)
{
    own_uris = choose_uris(uris)
    own_suites = choose_suites(suites)
    if (own_uris == "" || own_suites == "" || !has_word(components, "main"))
        return
    print "Types: deb\nURIs:" own_uris "\nSuites:" own_suites "\nComponents: main"
    for (i in keep)
        if (i in field) print i ":" field[i]
    print ""
}

function choose_uris(uris,    word, count, i, plain, chosen)
{
    count = split(uris, word, /[ \t\n]+/)
    for (i = 1; i <= count; i++) {
        plain = word[i]
        sub(/\/+$/, "", plain)
        sub(/:\/\/\//, ":/", plain)
        if (plain != "" && plain in ours) chosen = chosen " " word[i]
    }
    return chosen
}

function choose_suites(suites,    word, count, i, chosen)
{
    count = split(suites, word, /[ \t\n]+/)
    for (i = 1; i <= count; i++)
        if (word[i] == codename || word[i] == codename "-updates" || word[i] == codename "-security")
            chosen = chosen " " following substr(word[i], length(codename) + 1)
    return chosen
}

function has_word(words, wanted,    word, count, i)
{
    count = split(words, word, /[ \t\n]+/)
    for (i = 1; i <= count; i++)
        if (word[i] == wanted) return 1
    return 0
}
