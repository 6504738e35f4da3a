use crate::sh::Result;
pub fn run(_once: bool) -> Result<()> {
    Ok(())
}
