#!/bin/sh
# Makes the certificates of the TLS tests. Usage: sh pki.sh FOLDER
#
# NAME.key and NAME.pem, chains as NAME-chain.pem. Everything is issued to 2049, but for what is
# expired or not valid yet.
set -eu

cd "$1"
exec 2>openssl.log

cat >ca.cnf <<END
[ca]
default_ca = any
[any]
database = index.txt
new_certs_dir = issued
rand_serial = yes
unique_subject = no
default_md = sha256
policy = policy
copy_extensions = none
[policy]
commonName = optional
organizationName = optional
[req]
distinguished_name = name
prompt = no
[name]
END
mkdir -p issued
: >index.txt
: >index.txt.attr

die()
{
    cat openssl.log
    exit 1
}

# make_key NAME ec|rsa2048|rsa1024|ed25519
make_key()
{
    case $2 in
        ec) openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1.key" ;;
        rsa*) openssl genpkey -algorithm RSA -pkeyopt "rsa_keygen_bits:${2#rsa}" -out "$1.key" ;;
        ed25519) openssl genpkey -algorithm ED25519 -out "$1.key" ;;
    esac || die
}

# make_certificate NAME ISSUER COMMON-NAME [EXTENSION-LINES [START END [DIGEST]]]; ISSUER is NAME: self-signed.
make_certificate()
{
    name=$1 issuer=$2 subject=$3 start=${5:-240101000000Z} end=${6:-481231235959Z} digest=${7:-sha256}
    printf '%s\n' "${4:-}" >extensions.cnf
    [ -f "$name.key" ] || cp leaf.key "$name.key"
    openssl req -new -config ca.cnf -key "$name.key" -subj "/$subject" -out request.pem || die
    if [ "$name" = "$issuer" ]; then
        set -- -selfsign -keyfile "$name.key"
    else
        set -- -cert "$issuer.pem" -keyfile "$issuer.key"
    fi
    openssl ca -config ca.cnf -batch -notext -preserveDN -md "$digest" -startdate "$start" -enddate "$end" \
        -extfile extensions.cnf -in request.pem -out "$name.pem" "$@" || die
}

# make_authority NAME ISSUER COMMON-NAME [EXTENSION-LINES [START END]]
make_authority()
{
    make_certificate "$1" "$2" "$3" "basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
${4:-}" "${5:-}" "${6:-}"
}

# make_leaf NAME ISSUER SUBJECT-ALTERNATIVE-NAMES [START END [DIGEST]]
make_leaf()
{
    make_certificate "$1" "$2" "CN=$1.test" "basicConstraints = CA:FALSE
subjectAltName = $3" "${4:-}" "${5:-}" "${6:-}"
}

for authority in root unknown-root middle old-middle constrained permitted elsewhere excluded addresses dotted unclear \
    mail-root mail-only signing clients any-purpose servers leaf; do
    make_key $authority ec
done
make_authority root root CN=Root
make_authority unknown-root unknown-root CN=Unknown
make_authority middle root CN=Middle
make_authority old-middle root "CN=Old Middle" "" 200101000000Z 210101000000Z
make_authority constrained root CN=Constrained "nameConstraints = critical, permitted;DNS:example.com"
make_authority permitted root CN=Permitted "nameConstraints = permitted;DNS:example.com,permitted;DNS:example.net"
make_authority elsewhere root CN=Elsewhere "nameConstraints = permitted;DNS:example.org,permitted;DNS:le.com"
make_authority excluded root CN=Excluded "nameConstraints = excluded;DNS:mx.example.com"
make_authority addresses root CN=Addresses "nameConstraints = permitted;IP:192.0.2.0/255.255.255.0,permitted;email:example.org"
make_authority dotted root CN=Dotted "nameConstraints = permitted;DNS:.example.com"
make_authority unclear root CN=Unclear "2.5.29.30 = DER:30050401000400"
make_authority mail-only root "CN=Mail Only" "extendedKeyUsage = emailProtection"
make_authority signing root CN=Signing "extendedKeyUsage = critical, codeSigning, timeStamping"
make_authority clients root CN=Clients "extendedKeyUsage = clientAuth"
make_authority any-purpose root "CN=Any Purpose" "extendedKeyUsage = emailProtection, anyExtendedKeyUsage"
make_authority servers root CN=Servers "extendedKeyUsage = clientAuth, serverAuth"
make_authority mail-root mail-root "CN=Mail Root" "extendedKeyUsage = emailProtection"
make_authority odd root CN=Odd "1.2.3.4 = critical, DER:0500"
make_key ed25519-root ed25519
make_authority ed25519-root ed25519-root CN=Ed25519
make_key weak-root rsa1024
make_authority weak-root weak-root CN=Weak

make_leaf good root DNS:mx.example.com
make_key rsa rsa2048
make_leaf rsa root DNS:mx.example.com,DNS:mail.example.com
make_leaf wrong root DNS:other.example.net,DNS:www.other.example.net
make_leaf expired root DNS:mx.example.com 200101000000Z 210304050607Z
make_leaf future root DNS:mx.example.com 480101000000Z
make_leaf self self DNS:mx.example.com
make_leaf unknown unknown-root DNS:mx.example.com
make_certificate cn root CN=mx.example.com "basicConstraints = CA:FALSE"
make_certificate email root CN=mx.example.com "subjectAltName = email:postmaster@mx.example.com"
make_leaf uri root URI:mx.example.com
make_leaf ip root IP:192.0.2.1,IP:2001:db8::1
make_leaf ip-as-dns root DNS:192.0.2.1
make_leaf wildcard root 'DNS:*.example.com'
make_leaf partial root 'DNS:m*.example.com'
make_leaf double root 'DNS:*.*.com'
make_leaf dot root DNS:mx.example.com.
make_leaf upper root DNS:MX.Example.COM
# mx.example.com under a tag that says it is in pieces.
make_leaf constructed root DER:3010a20e6d782e6578616d706c652e636f6d
# A NUL byte in the name, as in the attacks of 2009: "mx.example.com\0.evil.test".
make_leaf nul root DER:301b82196d782e6578616d706c652e636f6d002e6576696c2e74657374
make_leaf many root "$(for i in 1 2 3 4 5 6 7 8 9 10 11 12; do printf 'DNS:host%s.long-name.example.net,' $i; done)DNS:mx.example.com"
make_certificate client root CN=client "subjectAltName = DNS:mx.example.com
extendedKeyUsage = clientAuth"
make_certificate odd-leaf root CN=odd "subjectAltName = DNS:mx.example.com
1.2.3.4 = critical, DER:0500"
make_key weak rsa1024
make_leaf weak root DNS:mx.example.com
make_leaf sha1 root DNS:mx.example.com '' '' sha1
make_leaf by-weak weak-root DNS:mx.example.com
make_leaf by-middle middle DNS:mx.example.com
make_leaf by-old-middle old-middle DNS:mx.example.com
make_leaf by-constrained constrained DNS:mx.example.com
make_leaf by-ed25519 ed25519-root DNS:mx.example.com
for issuer in mail-only signing clients any-purpose servers mail-root; do
    make_leaf by-$issuer $issuer DNS:mx.example.com
done
for issuer in permitted elsewhere excluded addresses unclear odd; do
    make_leaf by-$issuer $issuer DNS:mx.example.com,DNS:example.com
done
make_leaf by-dotted dotted DNS:mx.example.com
make_leaf apex-dotted dotted DNS:example.com
make_leaf apex-excluded excluded DNS:example.com
make_key ed25519 ed25519
make_leaf ed25519 root DNS:mx.example.com

for issuer in middle old-middle constrained permitted elsewhere excluded addresses dotted unclear odd ed25519 \
    mail-only signing clients any-purpose servers; do
    [ $issuer = ed25519 ] && issuer=ed25519-root
    leaf=by-${issuer%-root}
    cat "$leaf.pem" "$issuer.pem" >"$leaf-chain.pem"
done
cat apex-dotted.pem dotted.pem >apex-dotted-chain.pem
cat apex-excluded.pem excluded.pem >apex-excluded-chain.pem
cat root.pem weak-root.pem >anchors.pem
for i in 1 2 3 4 5 6 7 8; do cat middle.pem old-middle.pem permitted.pem excluded.pem addresses.pem; done >large.pem
cat good.pem good.key >good-with-key.pem
openssl ec -aes128 -passout pass:secret -in good.key -out locked-old.key || die
openssl pkcs8 -topk8 -passout pass:secret -in good.key -out locked.key || die
