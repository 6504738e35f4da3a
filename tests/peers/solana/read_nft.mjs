// Reads an NFT back by the libraries that wallets use, and prints what they make of it, as JSON.
//
// usage: node read_nft.mjs FOLDER RPC_URL token-2022|metaplex MINT    FOLDER is what `cargo xtask setup` made: node_modules
import { createRequire } from "node:module";
import path from "node:path";

const [folder, rpc, standard, mint] = process.argv.slice(2);
const require = createRequire(path.resolve(folder, "package.json"));
const { address, createSolanaRpc, fetchEncodedAccount, getAddressEncoder, getProgramDerivedAddress } = require("@solana/kit");
const { decodeMint } = require("@solana-program/token-2022");

const METAPLEX = address("metaqbxxUerdq28cj1RbAWkYQm3ybzjb6a8bt518x1s");
const client = createSolanaRpc(rpc);
const some = (option) => (option?.__option === "Some" ? option.value : null);

async function account(key) {
  const found = await fetchEncodedAccount(client, key, { commitment: "confirmed" });
  if (!found.exists) throw new Error(`there is no account ${key}`);
  return found;
}

async function token2022() {
  const { data, programAddress } = decodeMint(await account(address(mint)));
  const extensions = Object.fromEntries((some(data.extensions) ?? []).map((one) => [one.__kind, one]));
  const { TokenMetadata: metadata, MetadataPointer: pointer } = extensions;
  return {
    program: programAddress, supply: Number(data.supply), decimals: data.decimals,
    mintAuthority: some(data.mintAuthority), freezeAuthority: some(data.freezeAuthority),
    pointsTo: some(pointer.metadataAddress), name: metadata.name, symbol: metadata.symbol, uri: metadata.uri,
    updateAuthority: some(metadata.updateAuthority), fields: Object.fromEntries(metadata.additionalMetadata),
  };
}

async function metaplex() {
  const { deserializeMasterEdition, deserializeMetadata } = require("@metaplex-foundation/mpl-token-metadata");
  const { lamports, publicKey } = require("@metaplex-foundation/umi");
  const read = async (suffix, deserialize) => {
    const key = getAddressEncoder();
    const seeds = ["metadata", key.encode(METAPLEX), key.encode(address(mint)), ...suffix];
    const [pda] = await getProgramDerivedAddress({ programAddress: METAPLEX, seeds });
    const { data, programAddress } = await account(pda);
    return deserialize({
      publicKey: publicKey(pda), data, owner: publicKey(programAddress), executable: false, lamports: lamports(0),
    });
  };
  const metadata = await read([], deserializeMetadata);
  const edition = await read(["edition"], deserializeMasterEdition);
  const { data, programAddress } = decodeMint(await account(address(mint)));
  return {
    program: programAddress, supply: Number(data.supply), decimals: data.decimals,
    mintAuthority: some(data.mintAuthority), freezeAuthority: some(data.freezeAuthority), edition: edition.publicKey,
    prints: Number(some(edition.maxSupply)), name: metadata.name, symbol: metadata.symbol, uri: metadata.uri,
    updateAuthority: metadata.updateAuthority, royaltyBps: metadata.sellerFeeBasisPoints,
    creators: some(metadata.creators)?.map(({ address, verified, share }) => ({ address, verified, share })),
    collection: some(metadata.collection), isMutable: metadata.isMutable,
  };
}

console.log(JSON.stringify(standard === "metaplex" ? await metaplex() : await token2022()));
