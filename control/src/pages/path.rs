//! Which files of a repository are pages.

use std::fmt;

/// A longer path is none of a page.
const BYTES_MAX: usize = 512;
const SEGMENTS_MAX: usize = 16;

/// `README.md`, or a Markdown file below `docs/`. Nothing else can be named, so nothing else is
/// read or written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PagePath(String);

impl PagePath {
    pub const README: &str = "README.md";

    /// `None`: this is the path of no page.
    pub fn parse(text: &str) -> Option<Self> {
        let below = text.strip_prefix("docs/");
        let is_page = text == Self::README
            || below.is_some_and(|below| {
                below.split('/').count() < SEGMENTS_MAX
                    && below.split('/').all(is_name)
                    && below.ends_with(".md")
            });
        (is_page && text.len() <= BYTES_MAX).then(|| Self(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A name that means the same to every provider and file system: no dot files, nothing that climbs,
/// nothing that another system reads as a separator or a device.
fn is_name(name: &str) -> bool {
    let fine = |c: char| !c.is_control() && !"\\:*?\"<>|".contains(c);
    !name.is_empty()
        && !name.starts_with(['.', ' '])
        && !name.ends_with(['.', ' '])
        && name != ".md"
        && name.chars().all(fine)
}

impl fmt::Display for PagePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_readme_and_markdown_below_docs_are_pages() {
        for page in ["README.md", "docs/a.md", "docs/a/b/c.md", "docs/ä b-1.2_x.md"] {
            assert_eq!(PagePath::parse(page).map(|p| p.to_string()).as_deref(), Some(page));
        }
        let long = format!("docs/{}.md", "a".repeat(BYTES_MAX));
        let deep = format!("docs/{}a.md", "d/".repeat(SEGMENTS_MAX));
        for other in [
            "",
            "readme.md",
            "README.MD",
            "/README.md",
            "README.md/",
            "a/README.md",
            "docs",
            "docs/",
            "docs/.md",
            "docs/a.txt",
            "docs/a.md/",
            "docs//a.md",
            "docs/../a.md",
            "docs/./a.md",
            "docs/../../etc/a.md",
            "docs/..%2fa/..md",
            "docs/.hidden.md",
            "docs/.git/config.md",
            "docs/a\\b.md",
            "docs/a\0.md",
            "docs/a\n.md",
            "docs/c:a.md",
            "docs/ a.md",
            "docs/a /b.md",
            "docs/a./b.md",
            ".github/docs/a.md",
            &long,
            &deep,
        ] {
            assert_eq!(PagePath::parse(other), None, "{other}");
        }
    }
}
