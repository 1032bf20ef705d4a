# shellcheck shell=bash
# The six stages of every recipe. What differs between corpora are options (utils/options.sh) that their run.sh gives other
# values; what is a corpus' own work lies in local/data.sh, which stage 0 reads.
# shellcheck disable=SC2154  # options
_shared=$root/utils/options.sh
. "$root/utils/parse_options.sh"
. "$root/utils/stages.sh"
. "$root/utils/config.sh"
. "$root/utils/count_words.sh"

# What follows from the options.
task=$(key task) input=$(key input) goal=$(key target)
by=speaker cut='' own=exp/${protocol}_$(basename "$asr_config" .yaml)
case $task:$goal in
  recogni[sz]e:* | classify:*) makes=text ;;
  regress:targets-*) makes=features sets='' ;;
  *) makes=speech ;;
esac
_name=$(basename "$config" .yaml)${train#train}
exp=${exp:-${_defaults[exp]}} exp=${exp//<protocol>/"$protocol"} exp=${exp//<config>/"$_name"}
dump=${dump:-${_defaults[dump]}} dump=${dump//<protocol>/"$protocol"}
[[ -z $mel || $mel =~ ^(fine|paper|speecht5|none)$ ]] ||
  usage "--mel: found '$mel', wanted fine, paper, speecht5 or none; left out, it is the one that the config's target names"
mel=${mel:-$(mel_kind)}
tokens=exp/tokens/$protocol${train#train}_$pieces.model
[ "$pieces" -eq 0 ] || override="${override:+$override, }tokens: $tokens"

# all: the clips of stages 1 and 2. data: the sets. --data may hold sets of another making itself (combine, fold, subset).
home=${data:-data}
if [ -d "$home/train" ]; then
  data=$home all=$home/all
  [ -d "$all" ] || all=$(dirname "$data")/all
  ! runs 0 || usage "--data $data holds sets already, and stage 0 would not write there: name another folder, or begin at stage 1"
else
  [ "$task:$cut_words" != classify:yes ] || cut=_words
  data=$home/$protocol$cut all=$home/all
fi
[ "$protocol_only" = no ] || all=$data/whole
[ "$task" != classify ] || by=text

# The language model that texts are searched with, and how it is made where none is given.
case $makes:$lm:${lm_config:+network}:$order in
  text::network:*) made=network lm=${exp}_lm ;;
  text:::0) made='' ;;
  text:::*) made=ngram lm=exp/lm/$protocol-$order.arpa ;;
  text:*.arpa::[1-9]*) [ -f "$lm" ] && made='' || made=ngram ;; # to that file; one that is there stays
  text:none:*) made='' lm='' ;;
  *) made='' ;;
esac

if runs 2 && [ "$makes:$target" = features: ]; then usage "--target: say what the pretext predicts: --target logmel, mfcc, pase:EXP, ..."; fi
if runs 2 && [[ $input:$init = features-*: ]]; then usage "--init: say whose trunk is frozen: --init EXP"; fi
corrects=
! holds correct_av_offset || corrects=yes
if runs 2 && [ "$corrects:$init" = yes: ]; then
  usage "--init: say which lip-to-speech model tells how far audio and video are apart: --init EXP"
fi
if runs 3 && [ "$made" = network ] && [ ! -f "$lm_config" ]; then usage "--lm-config: found '$lm_config', wanted a file that is there"; fi
own_asr() { [ "$makes" = speech ] && [[ ,$asr, == *,own,* ]]; }
if runs 5 && own_asr && [ ! -f "$asr_config" ]; then usage "--asr-config: found '$asr_config', wanted the config of our own recognizer"; fi
. "$root/utils/set_up.sh"
if [ -n "$init" ] && [ ! -e "$init" ] && { runs 2 || runs 3; }; then # a name, or a mistake
  _answer=$(python -m lipsound2.model_names "$init" 2>&1) || { echo "$0: --init: $_answer" >&2; exit 1; }
fi

# prepare_data: the corpus' own layout -> data dirs.
prepare_data() {
  local name with=()
  [ -z "$lists" ] || with=(--lists "$lists")
  for name in $prepare_options; do
    [ -z "${!name}" ] || with+=("--${name//_/-}" "${!name}")
  done
  lipsound2 prepare "$reader" "$corpus" "$home" --protocol "$protocol" "${with[@]}"
}

# learn CONFIG EXP [OPTION...]: training on the sets of this run.
learn() {
  lipsound2 train "$1" --train "$data/$train" --valid "$data/$valid" --dump "$dump" --exp "$2" "${@:3}" \
    --ngpu "$ngpu" --launcher "$launcher"
}

# decode SET FOLDER [OPTION...]: what the experiment makes of a set as text.
decode() {
  lipsound2 decode "$exp" "$data/$1" "$exp/text/$1/$2" --dump "$dump" "${@:3}" \
    --ngpu "$ngpu" --nj "$nj" --launcher "$launcher"
}

# spoken_part SET: the data dir of the clips of a set that are synthesized.
spoken_part() {
  local part=$data/$1
  if [ "$spoken" -gt 0 ] && [ "$(wc -l < "$part/utt2spk")" -gt "$spoken" ]; then part+=-$spoken; fi
  echo "$part"
}

# needs_sets SET...: ends where one of the sets is not there; of a share of the labels it says which option makes it.
needs_sets() {
  local set arguments=$arguments
  for set in "$@"; do
    if [[ $set =~ ^train-([0-9]+)$ && -z $label_percent ]]; then
      arguments+=" --label-percent $((10#${BASH_REMATCH[1]}))"
    fi
    needs 0 "$data/$set/utt2spk"
  done
}

# needs_dump: ends where the dump has not what the config learns from, and says which stage makes it.
needs_dump() {
  local kind
  for kind in "${input:-audio}" $goal "speaker-$(key speaker)" "corrects-$corrects"; do
    case $kind in
      corrects-yes) needs 2 "$dump/av_offset/feats.scp" ;;
      speaker-embedding) needs 2 "$dump/voice/feats.scp" ;;
      face | mouth | mouth-published) needs 1 "$dump/$kind/feats.scp" ;;
      audio) [ -f "$dump/sound/feats.scp" ] || needs 2 "$dump/audio/feats.scp" ;; # sound: of earlier versions
      mel-* | targets-* | features-*) needs 2 "$dump/$kind/feats.scp" ;;
    esac
  done
}

# choose_sets: of the recipe's own sets those that a part of the corpus has; sets that were asked for are all needed.
choose_sets() {
  local set there=
  for set in $sets; do
    [ ! -f "$data/$set/utt2spk" ] || there+=${there:+ }$set
  done
  # shellcheck disable=SC2086  # names of sets
  if [ -z "$there" ] || [ "$sets" != "${_defaults[sets]}" ]; then needs_sets $sets; fi
  for set in $sets; do
    [ -f "$data/$set/utt2spk" ] || echo "$data/$set is not there, left out"
  done
  sets=$there
}

if stage 0 "find the corpus, write the data dirs"; then
  validate=()
  # shellcheck source=/dev/null
  if [ -f local/data.sh ]; then . local/data.sh; else prepare_data; fi
  if [ "$protocol_only" = yes ]; then
    parts=
    for set in train "$valid" $sets; do # a part of the corpus may lack one
      [ ! -d "$data/$set" ] || parts+=${parts:+,}$data/$set
    done
    lipsound2 combine "$parts" "$all"
  fi
  lipsound2 validate "$all" "${validate[@]}"
  if [ -n "$cut" ]; then
    for set in train "$valid" $sets; do
      lipsound2 words "$home/$protocol/$set" "$data/$set"
    done
  fi
  for percent in $label_percent; do
    lipsound2 subset "$data/train" "$data/train-$(printf %02d "$percent")" --share "${percent}e-2" --by "$by"
  done
fi

if stage 1 "video -> landmarks, crops"; then
  if [ -n "$regions" ]; then
    needs 0 "$all/utt2spk"
    lipsound2 crop "$all" "$dump" --regions "$regions" --nj "$nj" --launcher "$launcher"
  else
    echo "nothing to do: the corpus has no video"
  fi
fi

if stage 2 "audio aligned to the video, mels, and what else the config learns from"; then
  needs 0 "$all/utt2spk"
  if [ "$audio" = yes ]; then
    lipsound2 mel "$all" "$dump" --mel "$mel" --nj "$nj" --launcher "$launcher"
  fi
  if [ "$(key speaker)" = embedding ]; then
    lipsound2 voices "$all" "$dump" --nj "$nj" --launcher "$launcher"
  fi
  if [ "$corrects" = yes ]; then
    lipsound2 sync "$init" "$all" "$dump" --nj "$nj" --ngpu "$ngpu" --launcher "$launcher"
  fi
  if [ "$makes" = features ]; then
    lipsound2 targets "$all" "$dump" --target "$target" --name "${goal#targets-}" --train "$data/$train" --nj "$nj" \
      --launcher "$launcher"
  elif [[ $input = features-* ]]; then
    lipsound2 features "$init" "$all" "$dump" --name "${input#features-}" --nj "$nj" --ngpu "$ngpu" --launcher "$launcher"
  fi
fi

if stage 3 "training"; then
  needs_sets "$train" "$valid"
  needs_dump
  # Made of the texts that are there, and anew where these have changed since.
  if [ "$pieces" -gt 0 ] && [ ! "$tokens" -nt "$data/$train/text" ]; then
    lipsound2 tokens "$data/$train" "$tokens" --size "$pieces" --language "$language"
  fi
  if [ "$made" = ngram ] && [ ! "$lm" -nt "$data/train/text" ]; then
    lipsound2 ngram "$data/train" "$lm" --order "$order" --language "$language" --prune 0,0,1
  fi
  [[ $input = features-* ]] && begin='' || begin=$init # behind a frozen trunk everything is new
  learn "$config" "$exp" ${begin:+--init "$begin"} ${override:+--override "$override"}
  if [ "$made" = network ]; then
    learn "$lm_config" "$lm" --override "tokens: $exp"
  fi
fi

if stage 4 "synthesis with the controls, or decoding to text"; then
  needs 3 "$exp/model.safetensors"
  choose_sets
  for set in $sets; do
    if [ "$makes" = speech ]; then
      part=$(spoken_part "$set")
      [ "$part" = "$data/$set" ] || lipsound2 subset "$data/$set" "$part" --clips "$spoken"
      lipsound2 synthesize "$exp" "$part" "$exp/wav/$set" --dump "$dump" --ngpu "$ngpu" --nj "$nj" --launcher "$launcher"
      continue
    fi
    decode "$set" greedy
    [ -z "$grammar" ] || decode "$set" "$(basename "$grammar")" --grammar "$grammar"
    if [ -n "$ctc_weight" ]; then
      decode "$set" joint --ctc-weight "$ctc_weight" --beam "$beam" ${lm:+--lm "$lm" --lm-weight "$lm_weight"}
    elif [ -n "$lm" ]; then
      decode "$set" "$(basename "$lm" .arpa)" --lm "$lm" --lm-weight "$lm_weight" --word-bonus "$word_bonus" --beam "$beam"
    fi
  done
fi

if stage 5 "scores, verdict, report"; then
  needs 3 "$exp/model.safetensors"
  choose_sets
  for set in $sets; do
    case $makes in
      text) needs 4 "$exp/text/$set" ;;
      speech) needs 4 "$exp/wav/$set" ;;
    esac
  done
  if own_asr && [ ! -f "$data/train/text" ]; then
    echo "$data/train has no texts, which our own recognizer would learn from: no words are counted"
    asr=''
  elif own_asr; then # trained once, skipped when it is there
    [ -f "$own/model.safetensors" ] || echo "first our own recognizer is trained, $own; --asr names another, --asr '' none"
    train=train learn "$asr_config" "$own"
    asr=,$asr, asr=${asr/,own,/,$own,} # the word alone, not a part of somebody's path; commas at the ends do no harm
  fi
  for set in $sets; do
    if [ "$makes" = text ]; then
      control=() # of lip readers: what they read in the video of another clip
      if [ "${input:-audio}" != audio ] && [ -s "$data/$set/text" ] && [ "$(wc -l < "$data/$set/text")" -gt 1 ]; then
        control=(--mismatched --against mismatched)
      fi
      lipsound2 score-text "$data/$set" "$exp/text/$set"/*/ --out "$exp/scores/$set" --language "$language" "${control[@]}"
      continue
    fi
    lipsound2 score "$dump/audio" "$exp/wav/$set" --out "$exp/scores/$set" --nj "$nj" --launcher "$launcher"
    part=$(spoken_part "$set")
    if [ -n "$asr" ] && [ ! -f "$part/text" ]; then
      echo "$part has no texts: no words are counted"
      continue
    fi
    for way in '' $grammar; do
      count_words "$asr" "$exp/wav/$set" "$part" "$exp/text/$set" "$exp/scores/$set" "$way"
    done
  done
  lipsound2 report "$exp" ${publish:+--publish "$publish"}
  echo "to begin from it in another recipe: --init ../$(basename "$PWD")/$exp"
fi
