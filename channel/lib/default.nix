/**
  The library of the channel, `<nixpkgs/lib>`: pure functions over plain values, with the names and the meaning that Nix's users know.

  Every file here is a function of the whole library, so that files may use each other, and each is read when one of its names is
  used for the first time: the names are therefore listed below, and nothing is spliced in.  A file's own set (`lib.strings`) may
  hold more than what is listed, where a short name would be unclear at the top.

  Nothing here looks at the machine, at the channel's packages or at a store: that is for `../pkgs`.  The language is that of
  CppNix 2.8, so every Nix since then gives the same values.

  In comments `expression => value` is an example; the tests evaluate every one of them.
*/
let
  fixedPoints = import ./fixed-points.nix { inherit lib; };

  lib = fixedPoints.makeExtensible (self:
    let file = path: import path { lib = self; }; in {
      trivial = file ./trivial.nix;
      inherit fixedPoints;
      lists = file ./lists.nix;
      attrsets = file ./attrsets.nix;
      strings = file ./strings.nix;
      stringsWithDeps = file ./strings-with-deps.nix;
      versions = file ./versions.nix;
      derivations = file ./derivations.nix;
      customisation = file ./customisation.nix;
      debug = file ./debug.nix;
      asserts = file ./asserts.nix;
      generators = file ./generators.nix;
      cli = file ./cli.nix;
      filesystem = file ./filesystem.nix;
      path = file ./path.nix;
      fileset = file ./fileset.nix;
      sources = file ./sources.nix;
      meta = file ./meta.nix;
      licenses = file ./licenses.nix;
      sourceTypes = file ./source-types.nix;
      systems = file ./systems;
      platforms = self.systems.doubles;
      types = file ./types.nix;
      options = file ./options.nix;
      modules = file ./modules.nix;

      # People look after the channel as a whole; recipes from elsewhere that name somebody get an empty set to look in.
      maintainers = { };
      teams = { };

      inherit (builtins)
        add addErrorContext attrNames baseNameOf concatLists deepSeq dirOf elem elemAt filter fromJSON genList genericClosure
        getAttr hasAttr head isAttrs isBool isFloat isInt isList isPath isString langVersion length lessThan listToAttrs map match
        nixVersion parseDrvName pathExists readDir readFile removeAttrs replaceStrings seq split storeDir stringLength sub substring tail
        toJSON trace tryEval typeOf unsafeDiscardStringContext unsafeGetAttrPos;

      inherit (self.trivial)
        and bitAnd bitNot bitOr bitXor boolToString boolToYesNo checkListOfEnum compare concat const copyFunctionArgs defaultTo flip
        fromHexString functionArgs id importJSON importTOML inNixShell inPureEvalMode info isFunction isInOldestRelease mapNullable max mergeAttrs min
        mirrorFunctionArgs mod nixpkgsVersion oldestSupportedRelease oldestSupportedReleaseIsAtLeast or pipe revisionWithDefault setFunctionArgs
        showWarnings splitByAndCompare throwIf throwIfNot toBaseDigits toFunction toHexString version versionSuffix warn warnIf warnIfNot xor;

      inherit (fixedPoints)
        composeExtensions composeManyExtensions converge extends fix fix' makeExtensible makeExtensibleWithCustomName toExtension;

      inherit (self.lists)
        all allUnique any compareLists concatMap count crossLists drop dropEnd findFirst findFirstIndex findSingle flatten fold foldl foldl'
        foldr forEach groupBy groupBy' ifilter0 imap0 imap1 init intersectLists last listDfs mutuallyExclusive naturalSort optional optionals
        partition range remove replicate reverseList singleton sort sortOn sublist subtractLists take takeEnd toList toposort unique
        uniqueStrings zipLists zipListsWith;

      inherit (self.attrsets)
        attrByPath attrValues attrVals attrsToList cartesianProduct cartesianProductOfSets catAttrs chooseDevOutputs collect concatMapAttrs
        dontRecurseIntoAttrs filterAttrs filterAttrsRecursive foldAttrs foldlAttrs genAttrs genAttrs' getAttrFromPath getAttrs getBin getDev
        getFirstOutput getInclude getLib getMan getOutput getStatic hasAttrByPath intersectAttrs isDerivation longestValidPathPrefix
        mapAttrs mapAttrs' mapAttrsRecursive mapAttrsRecursiveCond mapAttrsToList mapAttrsToListRecursive mapAttrsToListRecursiveCond
        mapCartesianProduct matchAttrs mergeAttrsList nameValuePair optionalAttrs overrideExisting recurseIntoAttrs recursiveUpdate
        recursiveUpdateUntil setAttrByPath showAttrPath toDerivation unionOfDisjoint updateManyAttrsByPath zipAttrs zipAttrsWith
        zipAttrsWithNames;

      inherit (self.strings)
        addContextFrom charToInt cmakeBool cmakeFeature cmakeOptionType commonPrefixLength commonSuffixLength concatImapStrings
        concatImapStringsSep concatLines concatMapAttrsStringSep concatMapStrings concatMapStringsSep concatStrings concatStringsSep
        enableFeature enableFeatureAs escape escapeC escapeNixIdentifier escapeNixString escapeRegex escapeShellArg escapeShellArgs escapeURL
        escapeXML fileContents fixedWidthNumber fixedWidthString floatToString getName getVersion hasInfix hasPrefix hasSuffix intersperse
        isConvertibleWithToString isStorePath isStringLike isValidPosixName levenshtein levenshteinAtMost lowerChars makeBinPath
        makeIncludePath makeLibraryPath makeSearchPath makeSearchPathOutput mesonBool mesonEnable mesonOption nameFromURL normalizePath
        optionalString readPathsFromFile removePrefix removeSuffix replaceString sanitizeDerivationName splitString splitStringBy
        stringAsChars stringToCharacters toCamelCase toInt toIntBase10 toLower toSentenceCase toShellVar toShellVars toUpper trim trimWith
        upperChars versionAtLeast versionOlder withFeature withFeatureAs;

      inherit (self.stringsWithDeps) fullDepEntry noDepEntry packEntry stringAfter textClosureList textClosureMap;
      inherit (self.derivations) lazyDerivation optionalDrvAttr warnOnInstantiate;
      inherit (self.customisation)
        callPackageWith callPackagesWith extendDerivation extendMkDerivation hydraJob makeOverridable makeScope overrideDerivation;
      inherit (self.debug)
        runTests testAllTrue throwTestFailures traceFnSeqN traceIf traceSeq traceSeqN traceVal traceValFn traceValSeq traceValSeqFn
        traceValSeqN traceValSeqNFn;
      inherit (self.asserts) assertEachOneOf assertMsg assertOneOf;
      inherit (self.generators) mkLuaInline;
      inherit (self.cli) toGNUCommandLine toGNUCommandLineShell;
      inherit (self.filesystem) pathIsDirectory pathIsRegularFile pathType packagesFromDirectoryRecursive;
      inherit (self.sources)
        canCleanSource cleanSource cleanSourceFilter cleanSourceWith commitIdFromGitRepo pathHasContext pathIsGitRepo sourceByRegex
        sourceFilesBySuffices;
      inherit (self.meta)
        addMetaAttrs appendToName availableOn dontDistribute getExe getExe' getLicenseFromSpdxId getLicenseFromSpdxIdOr hiPrio hiPrioSet
        licensesSpdx lowPrio lowPrioSet mapDerivationAttrset platformMatch setName setPrio updateName;

      inherit (self.options)
        getFiles getValues isOption literalExample literalExpression literalMD mergeDefaultOption mergeEqualOption mergeOneOption
        mergeUniqueOption mkEnableOption mkOption mkPackageOption mkSinkUndeclaredOptions optionAttrSetToDocList optionAttrSetToDocList'
        renderOptionValue scrubOptionValue showDefs showFiles showOption showOptionWithDefLocs unknownModule;
      inherit (self.modules)
        defaultOrderPriority defaultOverridePriority dischargeProperties doRename evalModules evalOptionValue filterOverrides
        fixupOptionType importApply mergeDefinitions mergeModules mergeModules' mergeOptionDecls mkAfter
        mkAliasAndWrapDefinitions mkAliasAndWrapDefsWithPriority mkAliasDefinitions mkAliasOptionModule mkAliasOptionModuleMD mkAssert
        mkBefore mkChangedOptionModule mkDefault mkDefinition mkDerivedConfig mkFixStrictness mkForce mkIf mkImageMediaOverride mkMerge
        mkMergedOptionModule mkOptionDefault mkOrder mkOverride mkRemovedOptionModule mkRenamedOptionModule mkRenamedOptionModuleWith
        mkVMOverride pushDownProperties setDefaultModuleLocation sortProperties;
      inherit (self.types) isOptionType isType mkOptionType setType;
    });
in
lib
