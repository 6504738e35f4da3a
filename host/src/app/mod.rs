//! stub
pub struct Options { pub config: crate::config::Config, pub dev: bool, pub data_dir: std::path::PathBuf }
pub async fn serve(_o: Options) -> anyhow::Result<()> { Ok(()) }
