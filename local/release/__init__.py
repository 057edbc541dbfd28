"""The release: packages of the functions, the command, checksums and software bills of materials (SBOM)."""
