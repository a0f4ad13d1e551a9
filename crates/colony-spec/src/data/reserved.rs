//! Variables that mean something to shells, loaders and interpreters: a definition may set them, who
//! submits a job must not.

/// Names that decide what a command runs, or from where.
const NAMES: [&str; 50] = [
    // Shells.
    "PATH",
    "IFS",
    "ENV",
    "HOME",
    "SHELL",
    "CDPATH",
    "GLOBIGNORE",
    "PS4",
    "PROMPT_COMMAND",
    "BASH_ENV",
    "BASHOPTS",
    "SHELLOPTS",
    "ZDOTDIR",
    "TMPDIR",
    // The C library and what is linked to everything.
    "GCONV_PATH",
    "GLIBC_TUNABLES",
    "LOCPATH",
    "NLSPATH",
    "HOSTALIASES",
    "RESOLV_HOST_CONF",
    "RES_OPTIONS",
    "LOCALDOMAIN",
    "TZDIR",
    "TERMCAP",
    "TERMINFO",
    "TERMINFO_DIRS",
    "OPENSSL_CONF",
    "OPENSSL_ENGINES",
    "OPENSSL_MODULES",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
    "CURL_CA_BUNDLE",
    "REQUESTS_CA_BUNDLE",
    // Interpreters.
    "PERLLIB",
    "PERL5LIB",
    "PERL5OPT",
    "PERL5DB",
    "RUBYLIB",
    "RUBYOPT",
    "NODE_OPTIONS",
    "NODE_PATH",
    "CLASSPATH",
    "JAVA_TOOL_OPTIONS",
    "JDK_JAVA_OPTIONS",
    "_JAVA_OPTIONS",
    // Programs that others start.
    "EDITOR",
    "VISUAL",
    "PAGER",
    "LESSOPEN",
    "LESSCLOSE",
];

/// Beginnings of such names, and Colony's own.
const BEGINNINGS: [&str; 7] = [
    "LD_",
    "DYLD_",
    "BASH_FUNC_",
    "COLONY_",
    "MALLOC_",
    "PYTHON",
    "GIT_",
];

/// Whether a variable of a task is never set from parameters and run data.
pub fn is_reserved(name: &str) -> bool {
    NAMES.contains(&name) || BEGINNINGS.iter().any(|begin| name.starts_with(begin))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_decides_over_programs_is_reserved() {
        for name in ["PATH", "LD_PRELOAD", "BASH_FUNC_ls%%", "COLONY_TOKEN"] {
            assert!(is_reserved(name), "{name}");
        }
        for name in ["Path", "PATHS", "LANG", "TZ", "Ref", "USER", ""] {
            assert!(!is_reserved(name), "{name}");
        }
    }
}
